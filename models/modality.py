"""Modalities of a model, with their roles, likelihoods and networks."""

from math import prod
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from torch import nn

from .checked import Checked, Name, OptionalSize, Positive, SchemaName, Weight
from .networks import Network

Role = Literal["observed", "target", "context"]
Likelihood = Literal["normal", "laplace", "bernoulli", "categorical", "logit_normal"]

_MODULES: Final = nn.ModuleDict()  # whose attributes cannot be names of modules
# Other tensors of a bundle's graph.
_TAKEN: Final = ("mask", "noise", "surprise", "z_mean", "z_std")
_PREFIXES: Final = ("engagement_", "state_", "next_state_", "reconstruction_")


class Modality(Checked, frozen=True):
    """A named value of each sample, or of each tick of a sequence.

    Attributes:
        dim: of a vector; of other values the product of their shape.
        shape: of a value; a vector's is (dim,). Give one of the two.
        role: `observed` is an input and is decoded; `target` is decoded, and an input in training only;
            `context` is an input and not decoded.
        likelihood: of its decoder; `bernoulli` and `logit_normal`: values from 0 to 1; `categorical`:
            one-hot.
        weight: λ, the weight of this modality's likelihood in the loss.
        schema: name of its feature schema, which a bundle declares.
        encoder: a network from `[N, *shape]` to any number of features, from which the model computes its
            posterior: an `nn.Module` or its text, see `networks`; None for a multilayer perceptron of the
            model's sizes.
        decoder: a network from the latents `[N, Z]` to the likelihood's location or logits, or to twice as
            many numbers: first all locations, then all unbounded scales.
        scale: of the likelihood, in raw units; None: as the decoder predicts it, or if that gives locations
            only, learned, one number for each dimension.
        beta: β_m, factor on β of the KL of its private latent; in an MVAE, which has none, of z in the ELBO
            of this modality alone.
        private: size of its private latent, in models that have them; None for the model's.
    """

    name: Name
    dim: OptionalSize = 0
    role: Role = "observed"
    likelihood: Likelihood = "laplace"
    weight: Weight = 1.0
    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=100_000)], ...], Meta(max_length=8)] = ()
    schema: SchemaName | None = None
    encoder: Network = None
    decoder: Network = None
    scale: Positive | None = None
    beta: Weight = 1.0
    private: OptionalSize | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name in _TAKEN or self.name.startswith(_PREFIXES) or hasattr(_MODULES, self.name):
            raise ValueError(f"a modality cannot be called {self.name!r}: that name has another meaning")
        if not self.dim and not self.shape:
            raise ValueError(f"{self.name}: give its dim, or its shape")
        if self.shape and self.dim not in (0, prod(self.shape)):
            raise ValueError(f"{self.name}: a shape of {list(self.shape)} has not {self.dim} dimensions")
        shape = self.shape or (self.dim,)
        if prod(shape) > 100_000:
            raise ValueError(f"{self.name}: a shape of {list(shape)} has more than 100,000 dimensions")
        msgspec.structs.force_setattr(self, "shape", tuple(shape))
        msgspec.structs.force_setattr(self, "dim", prod(shape))
        for kind in (self.encoder, self.decoder):
            if not isinstance(kind, nn.Module | str | None):
                raise ValueError(f"{self.name}: an encoder or decoder is an nn.Module or its text")
        if self.scale is not None and self.likelihood in ("bernoulli", "categorical"):
            raise ValueError(f"{self.name}: a {self.likelihood} likelihood has no scale")
        if self.role == "target" and (self.decoder is not None or self.scale is not None):
            raise ValueError(f"{self.name}: a target's decoder is linear in z, and its scale predicted")


Modalities = Annotated[tuple[Modality, ...], Meta(min_length=1, max_length=64)]


def check_modalities(
    modalities: tuple[Modality, ...], taken: tuple[str, ...] = (), contexts: bool = True
) -> None:
    """Check the modalities of a model.

    Args:
        taken: names of its latents.
        contexts: whether it takes any.

    Raises:
        ValueError: two of the same name, or a latent's; nothing observed; a context.
    """
    names = [m.name for m in modalities]
    if len({*names, *taken}) != len(names) + len(taken):
        other = f", none of them {' or '.join(taken)}" if taken else ""
        raise ValueError(f"modalities must have different names{other}, found {names}")
    if not any(m.role == "observed" for m in modalities):
        raise ValueError("modalities must contain at least one that is observed")
    if not contexts and (roles := {m.name: m.role for m in modalities if m.role == "context"}):
        raise ValueError(f"the modalities must be observed or targets, found {roles}")
