"""Modalities of a model, with their roles and likelihoods."""

from typing import Literal

import msgspec

Role = Literal["observed", "target", "context"]
Likelihood = Literal["normal", "laplace", "bernoulli", "categorical", "logit_normal"]


class Modality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named vector per tick.

    Attributes:
        role: `observed` is an input and is decoded; `target` is decoded, and an input in training only;
            `context` is an input and not decoded.
        weight: λ, the weight of this modality's likelihood in the loss.
        per_dimension: λ is the weight divided by `dim`, so that a modality of high dimension does not
            dominate.
        schema: name of its feature schema, which a bundle declares.
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
    """Check the target of a model with a linear target decoder.

    Raises:
        ValueError: more than one target, one that is not 1 logit_normal, or nothing observed.
    """
    targets = [m for m in modalities if m.role == "target"]
    if len(targets) > 1 or not any(m.role == "observed" for m in modalities):
        raise ValueError("modalities must contain at most one target and at least one observed")
    if any(m.likelihood != "logit_normal" or m.dim != 1 for m in targets):
        raise ValueError(f"the target must be 1 logit_normal, found {targets[0].dim} {targets[0].likelihood}")
