"""Models that run tick by tick on what is known so far: in live sessions, and as bundles."""

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from ..contracts.errors import UserError
from .batch import Batch, Data
from .modality import Modality
from .model import Model, State
from .recurrence import Recur
from .target import Prediction, TargetDecoder


class Filtered(NamedTuple):
    """What a causal model estimates at each tick, given everything up to it.

    Attributes:
        prediction: by target, `[…, D]` each.
        mean, std: of all latents, `[…, Z]`, in the order of `sizes`.
        surprise: −log p, nats, `[…]`, of each observed modality given, under the prediction made before
            seeing it; of normalised values, 0 where missing.
        state: after the last tick.
        context: what the decoders take beside the latents.
    """

    prediction: dict[str, Prediction]
    mean: Tensor
    std: Tensor
    surprise: dict[str, Tensor]
    state: State
    context: dict[str, Tensor]


class Causal(Model):
    """A model that can be stepped.

    Attributes:
        states: names of the tensors of its state, in order.
        decoder: by modality; of targets `TargetDecoder`.
    """

    states: tuple[str, ...] = ()
    decoder: nn.ModuleDict

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state before the first tick, `[B, …]` each."""

    @abstractmethod
    def filter(self, data: Data | Batch, state: State = (), recur: Recur | None = None) -> Filtered:
        """Every target at each tick, given everything up to it.

        Args:
            state: after the ticks before; () at the start.
            recur: how to run the recurrence; by default tick by tick.

        Raises:
            UserError: data that do not fit the model, or a state that is not of them.
        """

    def started(self, state: State, batch: int) -> State:
        """The state, or that before the first tick if there is none.

        Raises:
            UserError: it is not one of this model's, or of another number of sequences.
        """
        if isinstance(state, tuple) and not state:
            return self.initial_state(batch)
        sizes = [start.shape[1:] for start in self.initial_state(1)]
        if not isinstance(state, tuple) or [s.shape[1:] for s in state] != sizes:
            shapes = ", ".join(str([batch, *size]) for size in sizes)
            raise UserError(f"state: expected {', '.join(self.states)} of {shapes}, as `filter` returns it")
        if any(s.shape[0] != batch for s in state):
            raise UserError(f"state: of {state[0].shape[0]} sequences, the data are of {batch}")
        return state

    def target_decoder(self, m: Modality) -> TargetDecoder:
        """That of a target."""
        decoder = self.decoder[m.name]
        assert isinstance(decoder, TargetDecoder)
        return decoder

    def widening(self, m: Modality) -> Tensor:
        """The factor on the scale of a target's prediction, `[]`; see `calibration`."""
        return self.target_decoder(m).widening

    def predict(self, m: Modality, mean: Tensor, variance: Tensor, h: Tensor | None = None) -> Prediction:
        """A target in raw units, with the latents it is decoded from, N(mean, variance), integrated out."""
        return self.predicted(m, self.target_decoder(m).predict(mean, variance, h))
