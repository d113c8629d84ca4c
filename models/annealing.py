"""Annealing of β, the weight of the KL (Bowman et al. 2016; cyclical: Fu et al. 2019)."""

from typing import Literal

from .checked import Checked, Count, Weight


class Annealing(Checked, frozen=True):
    """A schedule of β.

    Attributes:
        schedule: `linear`: rises from 0 over the first `rounds`, then constant. `cyclical`: repeated cycles
            of `rounds`, rising over the first half of each. `constant`: `beta` throughout.
        beta: the maximum.
    """

    schedule: Literal["linear", "cyclical", "constant"] = "linear"
    beta: Weight = 1.0
    rounds: Count = 60

    def at(self, round_: int) -> float:
        """β in a round; rounds count from 0."""
        match self.schedule:
            case "linear":
                return self.beta * min(1.0, (round_ + 1) / self.rounds)
            case "cyclical":
                return self.beta * min(1.0, 2 * (round_ % self.rounds + 1) / self.rounds)
            case "constant":
                return self.beta
