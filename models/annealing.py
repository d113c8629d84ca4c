"""Annealing of β, the weight of the KL (Bowman et al. 2016; cyclical: Fu et al. 2019)."""

from typing import Annotated, Literal

from msgspec import Meta

from .checked import Checked, Count, Weight

Schedule = Literal["linear", "cyclical", "constant"]


class Annealing(Checked, frozen=True):
    """A schedule of β.

    Attributes:
        schedule: `linear`: rises from 0 over the first `rounds`, then constant. `cyclical`: cycles of
            `rounds`, each of which rises from 0 and is then constant. `constant`: `beta` throughout.
        beta: the maximum.
        ramp: share of a cycle in which β rises (R of Fu et al.).
        cycles: after which β stays at its maximum; None for as many as training has.
    """

    schedule: Schedule = "linear"
    beta: Weight = 1.0
    rounds: Count = 60
    ramp: Annotated[float, Meta(gt=0, le=1)] = 0.5
    cycles: Count | None = None

    def at(self, round_: int) -> float:
        """β in a round; rounds count from 0."""
        match self.schedule:
            case "linear":
                return self.beta * min(1.0, (round_ + 1) / self.rounds)
            case "cyclical" if self.cycles is None or round_ < self.cycles * self.rounds:
                return self.beta * min(1.0, (round_ % self.rounds + 0.5) / (self.ramp * self.rounds))
        return self.beta
