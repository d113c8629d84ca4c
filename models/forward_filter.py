"""A causal filter distilled from an MDVAE, whose own posteriors look ahead.

    recurrence  h_t = GRU([φ_m(x_t^m) and flag of all observed m], h_{t-1})
    static      q_f(w | x_{1:t}) ∝ N(0, I) · Π_{s≤t} e(w | h_s)            s at which anything is present
    dynamic     q_f(z_t | x_{1:t}) = N(h_t, q_f(w | x_{1:t}))              all dynamic latents
    expected    q_f(z_t | x_{1:t-1}) = N(h_{t-1}, q_f(w | x_{1:t-1}))

w's precision and precision-weighted mean are sums over ticks, carried in the state, so w's precision only
grows. Training minimises KL(smoother ‖ filter) at every tick, with z_{1:t-1} sampled from the smoother, which
may see more than the filter: the target and the future. Averaged over that, the KL is, up to a constant, the
negative log-likelihood of the smoother's samples; its optimum has the mean and the variance of the smoother's
marginal given the past alone (as in moment matching; Minka 2001).

The target's decoder is linear in w and z^shared, as the smoother's, and their uncertainty is integrated out.
It starts as a copy of the smoother's decoder and is trained further by the likelihood of known targets,
because the filter's latents are independent of each other and the smoother's are not.
"""

from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .arguments import check_count
from .batch import Batch, Data
from .causal import Causal, Filtered
from .checked import Checked, Size
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
from .recurrence import Recur, gru_states
from .target import TargetDecoder


class ForwardFilterConfig(Checked, frozen=True, tag_field="model", tag="forward_filter"):
    """Sizes of a forward filter and of the MDVAE that it is distilled from.

    Attributes:
        smoother: the configuration of the MDVAE.
        hidden: of the recurrence.
    """

    smoother: MDVAEConfig
    hidden: Size = 128

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return self.smoother.modalities


class FilterState(NamedTuple):
    """The state of a filter between two ticks.

    Attributes:
        h: `[B, H]`.
        w_precision, w_shift: natural parameters of w, its precision and precision-weighted mean, `[B, S]`.
    """

    h: Tensor
    w_precision: Tensor
    w_shift: Tensor


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
    """

    Config = ForwardFilterConfig
    axes = 2
    needs = "a forward filter learns from a trained MDVAE: use enrapt distil"

    def __init__(self, config: ForwardFilterConfig | MDVAE, hidden: int = 128) -> None:
        if isinstance(config, MDVAE):
            smoother, config = deepcopy(config), ForwardFilterConfig(config.config, hidden)
        elif not isinstance(config, ForwardFilterConfig):
            raise ValueError(f"a ForwardFilter is made of a trained MDVAE, found {type(config).__name__}")
        else:
            smoother, hidden = MDVAE(config.smoother), config.hidden
        super().__init__(config.modalities)
        self.config, self.sizes = config, smoother.sizes
        self.w_size = smoother.config.static
        self.states = ("h", "w_precision", "w_shift") if self.w_size else ("h",)
        self.smoother = smoother.requires_grad_(False)
        self.inputs = Features(self.observed, smoother.config.hidden)
        self.gru = nn.GRU(sum(self.inputs.sizes.values()), hidden, batch_first=True)
        if self.w_size:
            self.w_expert = nn.Linear(hidden, 2 * self.w_size)
            nn.init.constant_(
                self.w_expert.bias[self.w_size :], -5.0
            )  # one tick is weak evidence: there are many
        self.dynamic = {name: size for name, size in self.sizes.items() if name != "w"}
        widths = hidden + 2 * self.w_size, hidden, 2 * sum(self.dynamic.values())
        self.belief, self.expected = mlp(*widths), mlp(*widths)
        common = smoother.config.static + smoother.config.shared
        self.decoder = nn.ModuleDict({m.name: TargetDecoder(m, common) for m in self.targets})
        self.to(next(smoother.buffers()))  # its device and type
        self.start()

    def start(self) -> None:
        """Copy the smoother's normalisation, its input features and its decoders of targets."""
        for m in self.modalities:
            Model.normalise(self, m.name, *self.smoother.moments(m.name))
        own = self.inputs.state_dict()
        self.inputs.load_state_dict({k: v for k, v in self.smoother.inputs.state_dict().items() if k in own})
        for m in self.targets:
            self.decoder[m.name].load_state_dict(self.smoother.decoder[m.name].state_dict())

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        self.smoother.normalise(name, center, scale)
        super().normalise(name, center, scale)

    def initial_state(self, batch: int) -> State:
        """h, and of w its precision and shift, before the first tick, where w is N(0, I); without w, h."""
        check_count("batch", batch, least=0)
        weight: Tensor = self.gru.all_weights[0][0]
        h = weight.new_zeros(batch, self.gru.hidden_size)
        one = h.new_ones(batch, self.w_size)
        return (h, one, torch.zeros_like(one)) if self.w_size else (h,)

    def _state(self, state: State, like: Tensor) -> FilterState:
        h, *w = self.started(state, like.shape[0])
        return FilterState(h, *(w or (h[:, :0], h[:, :0])))

    def encoded(self, x: Values, mask: Values) -> tuple[Tensor, Tensor]:
        """The recurrence's inputs, `[…, I]`, and where anything is present, bool `[…]`."""
        seen = [m.name for m in self.observed if m.name in x]
        if not seen:  # a target is no input
            (m, *_), (other, *_) = self.observed, mask.values()
            nothing = self.moments(m.name)[0].expand(*other.shape, m.dim)
            x, mask, seen = {m.name: nothing}, {m.name: torch.zeros_like(other)}, [m.name]
        values = {name: self.encoder_input(name, x[name], mask[name]) for name in seen}
        features, present = self.inputs(values, mask)
        return joined(features), torch.stack(list(present.values())).any(0)

    def beliefs_of(
        self, encoded: tuple[Tensor, Tensor], state: State, recur: Recur | None = None
    ) -> tuple[Beliefs, Beliefs, State]:
        """Beliefs by latent at each tick; the predictions of each tick made before it; the state after the
        last."""
        features, anything = encoded
        start = self._state(state, features)
        hs = gru_states(self.gru, features, start.h, recur)
        added = self.evidence(hs, anything)
        if hs.ndim == 2:  # one tick of a graph
            before, after = (
                start,
                FilterState(hs, *(s + more for s, more in zip(start[1:], added, strict=True))),
            )
            last: tuple[Tensor, ...] = after
        else:
            sums = (s.unsqueeze(1) + more.cumsum(1) for s, more in zip(start[1:], added, strict=True))
            after = FilterState(hs, *sums)
            before = FilterState(
                *(torch.cat([s.unsqueeze(1), a[:, :-1]], 1) for s, a in zip(start, after, strict=True))
            )
            last = tuple(a[:, -1] for a in after)
        return self.beliefs(after), self.beliefs(before, self.expected), last if self.w_size else last[:1]

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
        encoded: tuple[Tensor, Tensor],
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
        start = self._state(state, next(iter(fed.values())))
        known = (start.w_shift / start.w_precision, start.w_precision) if self.w_size else None
        with torch.no_grad():
            noise = self.smoother.noise(next(iter(fed.values())).shape, generator)
            latents = self.smoother.inferred(self.smoother.encoded(x, fed), noise, known).latents
        return distance(self, x, batch.available, fed, latents, state, self.flat(batch.spread))
