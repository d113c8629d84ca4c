"""What a model sees and tells: modalities, their roles, their likelihoods."""

from typing import Literal

import msgspec

Role = Literal["observed", "target", "context"]
Likelihood = Literal["normal", "laplace", "bernoulli", "categorical", "logit_normal"]


class Modality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named vector per tick.

    Attributes:
        role: `observed` may be fed and is decoded; `target` is decoded and never fed when live; `context`
            is fed and not decoded.
        weight: λ, what a nat of this modality's likelihood counts for in the loss.
        per_dimension: λ is the weight divided by `dim`, so that a modality of many numbers does not drown one
            of few.
    """

    name: str
    dim: int
    role: Role = "observed"
    likelihood: Likelihood = "laplace"
    weight: float = 1.0
    per_dimension: bool = False
    schema: str | None = None

    @property
    def factor(self) -> float:
        """λ."""
        return self.weight / self.dim if self.per_dimension else self.weight


def check_target(modalities: tuple[Modality, ...]) -> None:
    """Of models whose target has a linear decoder: there is at most one, a share, beside something observed.

    Raises:
        ValueError: there are more, or it is another thing.
    """
    targets = [m for m in modalities if m.role == "target"]
    if len(targets) > 1 or not any(m.role == "observed" for m in modalities):
        raise ValueError("modalities must hold at most one target and at least one observed")
    if any(m.likelihood != "logit_normal" or m.dim != 1 for m in targets):
        raise ValueError(f"the target must be 1 logit_normal, found {targets[0].dim} {targets[0].likelihood}")
