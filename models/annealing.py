"""β: what a nat of KL counts for, round by round (Bowman et al. 2016; cyclical: Fu et al. 2019)."""

from typing import Literal

import msgspec


class Annealing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schedule of β.

    Attributes:
        schedule: `linear`: from 0 up over the first `rounds`, then constant. `cyclical`: over and over, each
            cycle of `rounds` rising through its first half. `constant`: `beta` from the start.
        beta: its greatest value.
    """

    schedule: Literal["linear", "cyclical", "constant"] = "linear"
    beta: float = 1.0
    rounds: int = 60

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.beta < 0:
            raise ValueError("annealing wants rounds of at least 1 and a beta of at least 0")

    def at(self, round_: int) -> float:
        """β in a round, counted from 0."""
        match self.schedule:
            case "linear":
                return self.beta * min(1.0, (round_ + 1) / self.rounds)
            case "cyclical":
                return self.beta * min(1.0, 2 * (round_ % self.rounds + 1) / self.rounds)
            case "constant":
                return self.beta
