"""What of a model is in a bundle: its modalities, states and latents, in the order of the graph's tensors."""

from typing import NamedTuple

from ..bundle.metadata import LatentSpec, StateSpec
from ..contracts.errors import UserError
from ..models.config import Model
from ..models.dmvae import DMVAE
from ..models.forward_filter import ForwardFilter
from ..models.mm_vrnn import MMVRNN
from ..models.modality import Modality
from ..models.mvae import MVAE

Exportable = MMVRNN | ForwardFilter | MVAE | DMVAE


class Layout(NamedTuple):
    """Of a bundle's graph.

    Attributes:
        inputs: in the order of the mask's columns, the decoded ones first.
        decoded: those with a surprise, and with a reconstruction in a full graph.
    """

    inputs: tuple[Modality, ...]
    decoded: tuple[Modality, ...]
    target: Modality
    states: tuple[StateSpec, ...]
    latents: tuple[LatentSpec, ...]

    @property
    def z(self) -> int:
        """Size of all latents together."""
        return sum(latent.dim for latent in self.latents)


def exportable(model: Model, name: str) -> Exportable:
    """The model, if a bundle can be made of it.

    Raises:
        UserError: names `name`, and what to do instead.
    """
    if not isinstance(model, Exportable):
        raise UserError(f"{name}: an MDVAE looks ahead; distil a forward filter from it first: enrapt distil")
    if isinstance(model, MMVRNN) and model.config.fusion != "experts":
        raise UserError(f"{name}: fusion {model.config.fusion!r} cannot be exported; train with 'experts'")
    modalities = (
        model.smoother.config.modalities if isinstance(model, ForwardFilter) else model.config.modalities
    )
    if not any(m.role == "target" and m.likelihood == "logit_normal" for m in modalities):
        raise UserError(f"{name}: a bundle estimates a logit_normal target; train a model that has one")
    return model


def layout(model: Exportable) -> Layout:
    """The layout of an exportable model."""
    if isinstance(model, MMVRNN):
        hidden, latent = model.config.hidden, model.config.latent
        state = StateSpec("h", (hidden,), 0.0)
        return Layout(model.inputs, model.decoded, model.target, (state,), (LatentSpec("z", latent),))
    if isinstance(model, ForwardFilter):
        assert model.target is not None
        states: tuple[StateSpec, ...] = (StateSpec("h", (model.gru.hidden_size,), 0.0),)
        if model.static:
            shape = (model.static,)
            states += (StateSpec("w_precision", shape, 1.0), StateSpec("w_shift", shape, 0.0))
        latents = tuple(LatentSpec(name, size) for name, size in model.smoother.sizes.items())
        return Layout(model.observed, model.observed, model.target, states, latents)
    observed = tuple(m for m in model.modalities if m.role == "observed")
    (target,) = (m for m in model.modalities if m.role == "target")
    if isinstance(model, MVAE):
        return Layout(observed, observed, target, (), (LatentSpec("z", model.config.latent),))
    sizes = zip(("shared", *(m.name for m in model.modalities)), model.widths, strict=True)
    return Layout(
        observed, observed, target, (), tuple(LatentSpec(name, size) for name, size in sizes if size)
    )
