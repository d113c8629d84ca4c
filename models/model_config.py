"""What the configurations of all models have."""

from .checked import Checked
from .modality import Modalities, Modality


class ModelConfig(Checked, frozen=True):
    """A model's configuration.

    Attributes:
        reweight: average each likelihood over the samples, or ticks, that have its modality, rather than over
            all; see `losses.averaged`.
        rescale: multiply λ of every observed modality by the largest dimension among them over its own, so
            that none dominates by its size.
    """

    modalities: Modalities
    reweight: bool = False
    rescale: bool = False

    def factor(self, m: Modality) -> float:
        """λ of a modality in the loss."""
        if not self.rescale or m.role == "target":
            return m.weight
        return m.weight * max(o.dim for o in self.modalities if o.role == "observed") / m.dim
