"""A causal filter distilled from an MDVAE, whose own posteriors look ahead.

    recurrence  h_t = GRU([φ_m(x_1^m … x_t^m) and flag of all observed m], h_{t-1})
    static      q_f(w | x_{1:t}) ∝ N(0, I) · Π_{s≤t} e(w | h_s)            s at which anything is present
    dynamic     q_f(z_t | x_{1:t}) = N(h_t, q_f(w | x_{1:t}))              all dynamic latents
    expected    q_f(z_t | x_{1:t-1}) = N(h_{t-1}, q_f(w | x_{1:t-1}))

w's precision and precision-weighted mean are sums over ticks, carried in the state, so w's precision only
grows. Training minimises KL(smoother ‖ filter) at every tick, with z_{1:t-1} sampled from the smoother, which
may see more than the filter: the target and the future. Averaged over that, the KL is, up to a constant, the
negative log-likelihood of the smoother's samples; its optimum has the mean and the variance of the smoother's
marginal given the past alone (as in moment matching; Minka 2001).

φ_m sees x_t^m, and on request means and spreads of the recent past (`recent_past`): the smoother, which looks
ahead, needs none, but a recurrence hardly learns to remember beyond the ticks of a gradient step.

The target's decoder is linear in w and z^shared, as the smoother's, and their uncertainty is integrated out.
It starts as a copy of the smoother's decoder and is trained further by the likelihood of known targets,
because the filter's latents are independent of each other and the smoother's are not.
"""

from copy import deepcopy
from typing import Annotated, Any, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor, nn

from .arguments import check_count
from .batch import Batch, Data
from .causal import Causal, Filtered
from .checked import Checked, Positive, Size
from .distillation import distance
from .experts import precision
from .features import Features
from .latents import Inferred, Latent
from .likelihoods import Parameters
from .losses import Losses
from .mdvae import MDVAE, MDVAEConfig, joined
from .mlp import mlp
from .modality import Modality
from .model import Model, State
from .normalised import Values
from .recent_past import RecentPast
from .recurrence import Recur, gru_states, loop
from .target import TargetDecoder
from .whitening import fit_whitened


class ForwardFilterConfig(Checked, frozen=True, tag_field="model", tag="forward_filter"):
    """Sizes of a forward filter and of the MDVAE that it is distilled from.

    Attributes:
        smoother: the configuration of the MDVAE.
        hidden: of the recurrence.
        ticks: time constants of the means of the past that the filter sees.
        whiten: what its encoders see, see `whitening`: for many people; needs `ticks`.
    """

    smoother: MDVAEConfig
    hidden: Size = 128
    ticks: Annotated[tuple[Positive, ...], Meta(max_length=16)] = ()
    whiten: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whiten and not self.ticks:
            raise ValueError("whiten is for a filter that sees means of the past: give ticks")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.smoother.modalities


class FilterState(NamedTuple):
    """The state of a filter between two ticks.

    Attributes:
        h: `[B, H]`.
        w_precision, w_shift: natural parameters of w, its precision and precision-weighted mean, `[B, S]`.
        recent: means of the past, `[B, R]`.

    Of those that the model has not, the size is 0.
    """

    h: Tensor
    w_precision: Tensor
    w_shift: Tensor
    recent: Tensor


class Belief(NamedTuple):
    """A Gaussian, `[…, Z]`."""

    mean: Tensor
    precision: Tensor


Beliefs = dict[str, Belief]  # by latent


class ForwardFilter(Causal):
    """A causal filter with the latents of `smoother`; see the module's docstring.

    The latents, w included, are beliefs at each tick, `[B, T, Z]`; their prior is what was expected of the
    tick before it. New sequences and likelihoods are those of the smoother, whose decoders it has.

    Args:
        config: with `options`, or a trained MDVAE, whose weights are not changed.
        hidden: of the recurrence, with an MDVAE.
        options: `ticks` and `whiten` of `ForwardFilterConfig`, with an MDVAE.
    """

    Config = ForwardFilterConfig
    axes = 2
    needs = "a forward filter learns from a trained MDVAE: use enrapt distil"

    def __init__(self, config: ForwardFilterConfig | MDVAE, hidden: int = 128, **options: Any) -> None:
        if isinstance(config, MDVAE):
            smoother, config = deepcopy(config), ForwardFilterConfig(config.config, hidden, **options)
        elif not isinstance(config, ForwardFilterConfig):
            raise ValueError(f"a ForwardFilter is made of a trained MDVAE, found {type(config).__name__}")
        else:
            smoother = MDVAE(config.smoother)
        hidden = config.hidden
        super().__init__(config.modalities)
        self.config, self.sizes = config, smoother.sizes
        self.w_size = smoother.config.static
        self.smoother = smoother.requires_grad_(False)
        self.past = RecentPast(self.observed, config.ticks)
        self.inputs = Features(self.observed, smoother.config.hidden, config.ticks, config.whiten)
        self.gru = nn.GRU(sum(self.inputs.sizes.values()), hidden, batch_first=True)
        if self.w_size:
            self.w_expert = nn.Linear(hidden, 2 * self.w_size)
            nn.init.constant_(
                self.w_expert.bias[self.w_size :], -5.0
            )  # one tick is weak evidence: there are many
        sizes = (hidden, self.w_size, self.w_size, self.past.memory)
        self.state_sizes = dict(zip(FilterState._fields, sizes, strict=True))
        self.states = tuple(name for name, size in self.state_sizes.items() if size)
        self.dynamic = {name: size for name, size in self.sizes.items() if name != "w"}
        widths = hidden + 2 * self.w_size, hidden, 2 * sum(self.dynamic.values())
        self.belief, self.expected = mlp(*widths), mlp(*widths)
        common = smoother.config.static + smoother.config.shared
        self.decoder = nn.ModuleDict({m.name: TargetDecoder(m, common) for m in self.targets})
        self.to(next(smoother.buffers()))  # its device and type
        self.start()

    def start(self) -> None:
        """Copy the smoother's normalisation, its decoders of targets and, where they see the same, its input
        features."""
        for m in self.modalities:
            Model.normalise(self, m.name, *self.smoother.moments(m.name))
        own, theirs = self.inputs.state_dict(), self.smoother.inputs.state_dict()
        self.inputs.load_state_dict(own | {k: v for k, v in theirs.items() if fits(own.get(k), v)})
        for m in self.targets:
            self.decoder[m.name].load_state_dict(self.smoother.decoder[m.name].state_dict())

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        self.smoother.normalise(name, center, scale)
        super().normalise(name, center, scale)

    def fit_normalisation(self, batch: Batch) -> None:
        """Also of the means of the past, and of the whitened encoders."""
        super().fit_normalisation(batch)
        raw = self.batch(batch)
        values, mask = self.observations(self.flat(raw.x), raw.available)
        fitted = self.past.fit(values, mask)
        seen, _ = self.past(values, mask, self.past.initial_state(raw.size), loop)
        for name in fitted:
            fit_whitened(self.inputs.phi[name], seen[name][mask[name]])

    def initial_state(self, batch: int) -> State:
        """As `FilterState`, without what the model has not, before the first tick, where w is N(0, I)."""
        check_count("batch", batch, least=0)
        weight: Tensor = self.gru.all_weights[0][0]
        start = {name: weight.new_zeros(batch, size) for name, size in self.state_sizes.items()}
        start["w_precision"] += 1
        return tuple(start[name] for name in self.states)

    def full_state(self, state: State, batch: int) -> FilterState:
        """With what the model has not, `[B, 0]`; () is that before the first tick."""
        known = dict(zip(self.states, self.started(state, batch), strict=True))
        empty = known["h"][:, :0]
        return FilterState(*(known.get(name, empty) for name in FilterState._fields))

    def encoded(self, x: Values, mask: Values) -> Any:
        return dict(x), dict(mask)

    def observations(self, x: Values, mask: Values) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What encoders take of raw values and masks: observed modalities, at least one, normalised."""
        seen = [m.name for m in self.observed if m.name in x]
        if not seen:  # a target is no input
            (m, *_), (other, *_) = self.observed, mask.values()
            nothing = self.moments(m.name)[0].expand(*other.shape, m.dim)
            x, mask, seen = {m.name: nothing}, {m.name: torch.zeros_like(other)}, [m.name]
        return {k: self.encoder_input(k, x[k], mask[k]) for k in seen}, {k: mask[k] for k in seen}

    def beliefs_of(
        self, encoded: Any, state: State, recur: Recur | None = None
    ) -> tuple[Beliefs, Beliefs, State]:
        """Beliefs by latent at each tick; the predictions of each tick made before it; the state after the
        last."""
        before, after, last = self.recurred(encoded, state, recur)
        kept = tuple(last._asdict()[name] for name in self.states)
        return self.beliefs(after), self.beliefs(before, self.expected), kept

    def recurred(
        self, encoded: Any, state: State, recur: Recur | None = None
    ) -> tuple[FilterState, FilterState, FilterState]:
        """The states before and after each tick, `[…, ·]`, and that after the last, `[B, ·]`; but `recent` of
        the first two, which beliefs do not need, is that of the start and of the end."""
        values, mask = self.observations(*encoded)
        start = self.full_state(state, next(iter(mask.values())).shape[0])  # no int: a free axis of graphs
        seen, recent = self.past(values, mask, start.recent, recur or loop)
        features, present = self.inputs(seen, mask)
        hs = gru_states(self.gru, joined(features), start.h, recur)
        added = self.evidence(hs, torch.stack(list(present.values())).any(0))
        if hs.ndim == 2:  # one tick of a graph
            after = FilterState(hs, start.w_precision + added[0], start.w_shift + added[1], recent)
            return start, after, after
        lam, shift = (s.unsqueeze(1) + more.cumsum(1) for s, more in zip(start[1:3], added, strict=True))
        after = FilterState(hs, lam, shift, recent)
        h, lam_before, shift_before = (
            torch.cat([s.unsqueeze(1), v[:, :-1]], 1) for s, v in zip(start[:3], after[:3], strict=True)
        )
        before = FilterState(h, lam_before, shift_before, start.recent)
        return before, after, FilterState(hs[:, -1], lam[:, -1], shift[:, -1], recent)

    def evidence(self, h: Tensor, anything: Tensor) -> tuple[Tensor, Tensor]:
        """What one tick adds to w's precision and to its shift, `[…, S]`."""
        if not self.w_size:
            return h[..., :0], h[..., :0]
        mean, raw = self.w_expert(h).chunk(2, -1)
        added = precision(raw) * anything.unsqueeze(-1)
        return added, added * mean

    def beliefs(self, state: FilterState, network: nn.Module | None = None) -> Beliefs:
        """Of each latent, from states `[…, ·]`; the dynamic ones by `network`, `belief` by default."""
        w = Belief(state.w_shift / state.w_precision, state.w_precision)
        context = torch.cat([state.h, w.mean, torch.rsqrt(w.precision)], -1)
        mean, raw = (network or self.belief)(context).chunk(2, -1)
        lam, sizes = precision(raw), [*self.dynamic.values()]
        parts = zip(self.dynamic, mean.split(sizes, -1), lam.split(sizes, -1), strict=True)
        dynamic = {name: Belief(*part) for name, *part in parts}
        return {"w": w} | dynamic if self.w_size else dynamic

    def inferred(
        self,
        encoded: Any,
        noise: Values | None,
        state: State | None = None,
        recur: Recur | None = None,
    ) -> Inferred:
        beliefs, expected, after = self.beliefs_of(encoded, () if state is None else state, recur)
        latents = {}
        for name in self.sizes:
            (mean, lam), before = beliefs[name], expected[name]
            z = mean if noise is None else mean + noise[name] * torch.rsqrt(lam)
            latents[name] = Latent(mean, lam, *before, z)
        return Inferred(latents, {}, after)

    def distribution(self, m: Modality, outputs: Tensor) -> Parameters:
        return self.smoother.distribution(m, outputs)  # has the scales that are learned

    def outputs(self, name: str, z: Values) -> Tensor:
        if self.by_name[name].role != "target":
            return self.smoother.outputs(name, z)
        common = [z[latent] for latent in ("w", "shared") if latent in self.sizes]
        outputs: Tensor = self.decoder[name](torch.cat(common, -1))
        return outputs

    def filter(self, data: Data | Batch, state: State = (), recur: Recur | None = None) -> Filtered:
        """Every target at each tick, given everything up to it.

        Args:
            state: of the ticks before; () at the start.
        """
        batch = self.batch(data)
        x, mask = self.flat(batch.x), batch.available
        inferred = self.inferred(self.encoded(x, mask), None, state, recur)
        before = {name: latent.prior_mean for name, latent in inferred.latents.items()}
        every = [inferred.latents[name] for name in self.sizes]
        common = self.common(inferred.latents)
        return Filtered(
            {m.name: self.predict(m, *common) for m in self.targets},
            torch.cat([latent.mean for latent in every], -1),
            torch.rsqrt(torch.cat([latent.precision for latent in every], -1)),
            {
                m.name: self.cost(m.name, x[m.name], mask[m.name], before)
                for m in self.observed
                if m.name in x
            },
            inferred.state,
            {},
        )

    def common(self, latents: dict[str, Latent]) -> tuple[Tensor, Tensor]:
        """Mean and variance of what a target is predicted from, w and z^shared."""
        found = [latents[name] for name in ("w", "shared") if name in latents]
        return torch.cat([q.mean for q in found], -1), torch.cat([1 / q.precision for q in found], -1)

    def generate(
        self,
        count: int,
        ticks: int,
        after: Data | Batch | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """New sequences of the smoother."""
        return self.smoother.generate(count, ticks, after, generator)

    def log_likelihood(self, *arguments: Any, **options: Any) -> Tensor:
        """log p of the smoother's, as `Model.log_likelihood`."""
        return self.smoother.log_likelihood(*arguments, **options)

    def loss(
        self,
        data: Data | Batch,
        fed: Values | None = None,
        state: State = (),
        beta: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Losses:
        """The distance of the filter from the smoother, see `distillation`, and the state after the segment.

        The filter carries its state over from the segment before. The smoother takes the segment as a
        separate sequence, with the filter's w of before as its prior: w is constant over all segments.
        """
        batch = self.batch(data)
        x, fed = self.flat(batch.x), fed or batch.available
        start = self.full_state(state, batch.size)
        known = (start.w_shift / start.w_precision, start.w_precision) if self.w_size else None
        with torch.no_grad():
            noise = self.smoother.noise(next(iter(fed.values())).shape, generator)
            latents = self.smoother.inferred(self.smoother.encoded(x, fed), noise, known).latents
        return distance(self, x, batch.available, fed, latents, state, self.flat(batch.spread))


def fits(own: Tensor | None, other: Tensor) -> bool:
    """Whether a weight can be taken over."""
    return own is not None and own.shape == other.shape
