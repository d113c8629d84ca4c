"""What of a model is in a bundle: its modalities, states and latents, in the order of the graph's tensors."""

from typing import NamedTuple

from ..bundle.metadata import LatentSpec, StateSpec
from ..contracts.errors import UserError
from ..models.causal import Causal
from ..models.modality import Modality
from ..models.model import Model


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


def exportable(model: Model, name: str) -> Causal:
    """The model, if a bundle can be made of it.

    Raises:
        UserError: names `name`, and what to do instead.
    """
    if not isinstance(model, Causal):
        raise UserError(
            f"{name}: this model is not causal, so it cannot run live; of an MDVAE, distil a forward filter "
            "first: enrapt distil"
        )
    targets = [(m.likelihood, m.dim) for m in model.targets]
    if targets != [("logit_normal", 1)]:
        raise UserError(
            f"{name}: a bundle estimates one logit_normal target; train a model that has one and no other"
        )
    return model.float().cpu().eval()


def layout(model: Causal) -> Layout:
    """The layout of an exportable model."""
    states = tuple(
        StateSpec(name, tuple(start.shape[1:]), float(start.flatten()[0]))
        for name, start in zip(model.states, model.initial_state(1), strict=True)
    )
    latents = tuple(LatentSpec(name, size) for name, size in model.sizes.items())
    (target,) = model.targets
    return Layout((*model.observed, *model.contexts), model.observed, target, states, latents)
