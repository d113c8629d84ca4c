"""An MM-VRNN whose encoders see the recent past, not only what is now.

What a face and a voice do at one tick says little about a state that lasts for seconds; their means and
spreads over seconds say more. A recurrence can learn to take them, but hardly from an hour of twelve people,
nor beyond the ticks of a gradient step. So the encoders are given them, see `recent_past`. They are a
function of x_1 … x_t, so the equations are those of the MM-VRNN with φ(x_1 … x_t) in place of φ(x_t);
decoders give x_t, as it is.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta
from torch import Tensor, nn

from .batch import Batch
from .checked import Positive, Share
from .latents import Inferred
from .mm_vrnn import MMVRNN, MMVRNNConfig
from .modality import Modality
from .model import State
from .normalised import Values
from .recent_past import RecentPast, encoder_of_size, seen_size
from .recurrence import Recur, loop
from .whitening import fit_whitened


class RecentVRNNConfig(MMVRNNConfig, frozen=True, tag_field="model", tag="recent_vrnn"):
    """Sizes of a RecentVRNN.

    Attributes:
        ticks: time constants of the exponential means.
        dropout: of hidden features, of encoders and of the targets' decoders, in training.
        whiten: what the encoders see, see `whitening`: for many people.
    """

    ticks: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=16)] = (25.0, 125.0)
    dropout: Share = 0.5
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout == 1:
            raise ValueError("a dropout of 1 leaves nothing to learn from")


class RecentVRNN(MMVRNN):
    """An MM-VRNN whose encoders see means and spreads of the recent past; see the module's docstring.

    Args:
        modalities: or a `RecentVRNNConfig`.
        options: those of `RecentVRNNConfig`.
    """

    Config = RecentVRNNConfig
    states: tuple[str, ...] = ("h", "recent")

    def __init__(self, modalities: Iterable[Modality] | RecentVRNNConfig, **options: Any) -> None:
        config = self.configured(modalities, options)
        super().__init__(config)
        self.past = RecentPast(self.summarised, config.ticks)
        for m in self.targets:
            of_h = self.target_decoder(m).of_h
            assert of_h is not None
            of_h.insert(0, nn.Dropout(config.dropout))

    @property
    def summarised(self) -> tuple[Modality, ...]:
        """Those whose recent past is seen, as far as they are vectors."""
        return self.inputs

    @property
    def memory(self) -> int:
        """Numbers that are kept of the past, beside h."""
        return self.past.memory

    def seen_size(self, m: Modality) -> int:
        """Numbers that the encoder of a modality sees."""
        return seen_size(m, self.config.ticks)

    def encoder(self, m: Modality, hidden: int) -> tuple[nn.Module, int]:
        size = self.seen_size(m)
        network, features = encoder_of_size(m, size, hidden, self.config.whiten)
        if size == m.dim:
            return network, features
        return nn.Sequential(network, nn.Dropout(self.config.dropout)), features

    def initial_state(self, batch: int) -> State:
        """h before the first tick, `[B, H]`, and the memory of nothing."""
        (h,) = super().initial_state(batch)
        return h, h.new_zeros(batch, self.memory)

    def fit_normalisation(self, batch: Batch) -> None:
        """Also of the summaries, and of the whitened encoders."""
        super().fit_normalisation(batch)
        raw = self.batch(batch)
        x, mask = self.flat(raw.x), raw.available
        fitted = self.past.fit(self.encoder_inputs(x, mask), mask)
        seen, _ = self.seen(x, mask, self.initial_state(raw.size)[1], loop)
        for name in fitted:
            fit_whitened(self.phi[name], seen[name][mask[name]])

    def seen(self, x: Values, mask: Values, state: Tensor, recur: Recur) -> tuple[dict[str, Tensor], Tensor]:
        """What the encoders see of each modality given, and the state after it."""
        found: tuple[dict[str, Tensor], Tensor] = self.past(self.encoder_inputs(x, mask), mask, state, recur)
        return found

    def encoded(self, x: Values, mask: Values) -> Any:
        return dict(x), dict(mask)

    def inferred(
        self,
        encoded: Any,
        noise: Values | None,
        state: State | None = None,
        recur: Recur | None = None,
    ) -> Inferred:
        x, mask = encoded
        h, recent = self.started(() if state is None else state, next(iter(mask.values())).shape[0])
        seen, after = self.seen(x, mask, recent, recur or loop)
        found = self.recurred(self.evidence_of(seen, mask), self.given(seen), h, noise, recur)
        return found._replace(state=(*found.state, after))

    def after(self, x: Values, mask: Values, z: Tensor, gates_h: Tensor, state: State) -> State:
        seen, recent = self.seen(x, mask, state[1], lambda tick, s, inputs: tick(s, inputs))
        return self.advance(self.evidence_of(seen, mask).gates, z, gates_h, state[0]), recent
