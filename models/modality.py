"""Modalities of a model, with their roles and likelihoods."""

from typing import Annotated, Final, Literal

from msgspec import Meta
from torch import nn

from .checked import Checked, Name, SchemaName, Size, Weight

Role = Literal["observed", "target", "context"]
Likelihood = Literal["normal", "laplace", "bernoulli", "categorical", "logit_normal"]

_MODULES: Final = nn.ModuleDict()  # whose attributes cannot be names of modules
# Other tensors of a bundle's graph.
_TAKEN: Final = ("mask", "noise", "surprise", "z_mean", "z_std")
_PREFIXES: Final = ("engagement_", "state_", "next_state_", "reconstruction_")


class Modality(Checked, frozen=True):
    """A named vector per tick.

    Attributes:
        role: `observed` is an input and is decoded; `target` is decoded, and an input in training only;
            `context` is an input and not decoded.
        weight: λ, the weight of this modality's likelihood in the loss.
        per_dimension: λ is the weight divided by `dim`, so that a modality of high dimension does not
            dominate.
        schema: name of its feature schema, which a bundle declares.
    """

    name: Name
    dim: Size
    role: Role = "observed"
    likelihood: Likelihood = "laplace"
    weight: Weight = 1.0
    per_dimension: bool = False
    schema: SchemaName | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in _TAKEN or self.name.startswith(_PREFIXES) or hasattr(_MODULES, self.name):
            raise ValueError(f"a modality cannot be called {self.name!r}: that name has another meaning")

    @property
    def factor(self) -> float:
        """λ."""
        return self.weight / self.dim if self.per_dimension else self.weight


Modalities = Annotated[tuple[Modality, ...], Meta(min_length=1, max_length=64)]


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
