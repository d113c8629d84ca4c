"""One step of an MM-VRNN as a graph of few, large products.

The same arithmetic as `models.mm_vrnn`. At batch 1 a step's time is the number of its operators and the bytes
of its weights, so the products of all modalities, of the prior, of the recurrence and of the decoders are
stacked, and what is linear is done to the weights beforehand: an expert's mean comes out as its difference
from the prior's, and every φ has one unit more, 1 where its modality is present, whose weights are what were
biases. Sampling is left out: live, z is the posterior's mean.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from ..models import experts, likelihoods
from ..models.engagement import HALF_WIDTH, EngagementHead
from ..models.likelihoods import LOCATION_SCALE, NODES, WEIGHTS, logit_scale, nll, width
from ..models.mm_vrnn import CLIP, MMVRNN
from ..models.modality import Modality

ZEROS = 6_000  # numbers, 24 kB: about as many as are read in the time that an operator more takes


class Blocks(nn.Module):
    """x times a block-diagonal matrix, plus a bias: `[…, Σ K_i]` to `[…, Σ N_i]`.

    One product with the zeros in it, or, where they are many, a product a block, and they are not read.

    Args:
        weights: `[K_i, N_i]`.
        biases: `[N_i]`, or none.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor] | None = None) -> None:
        super().__init__()
        whole = torch.block_diag(*weights)
        self.sizes = [len(w) for w in weights]
        self.apart = whole.numel() - sum(w.numel() for w in weights) > ZEROS * len(weights)
        if not self.apart:
            weights, biases = [whole], biases and [torch.cat(biases)]
        self.weights = nn.ParameterList(w.detach().clone() for w in weights)
        self.biases = nn.ParameterList(b.detach().clone() for b in biases or [])

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.sizes, -1) if self.apart else [x]
        products = [part @ w for part, w in zip(parts, self.weights, strict=True)]
        if self.biases:
            products = [product + b for product, b in zip(products, self.biases, strict=True)]
        return torch.cat(products, -1) if self.apart else products[0]


def softplus(x: Tensor) -> Tensor:
    """max(x, 0) − log σ(|x|): ONNX Runtime's own Softplus goes number by number, these operators do not."""
    return relu(x) - torch.log(torch.sigmoid(x.abs()))


class StepGraph(nn.Module):
    """`(x_1, …, x_M, mask, state_h) → (engagement…, z_mean, z_std, surprise, next_state_h)`.

    Inputs are raw `[batch, D_m]`, mask `[batch, M]` of 0 and 1 over observed and context modalities in the
    model's order, state `[batch, H]`. A masked value may be NaN.
    """

    center: Tensor
    inverse: Tensor
    mask_w: Tensor
    mask_b: Tensor
    switch_w: Tensor
    new_w: Tensor
    new_b: Tensor
    h_w: Tensor
    h_b: Tensor
    sum_z: Tensor
    phi_z_w: Tensor
    phi_z_b: Tensor
    switch_z_w: Tensor
    new_z_w: Tensor
    decoder_w: Tensor
    sum_x: Tensor
    head_w: Tensor
    head_b: Tensor
    of_z: Tensor
    of_variance: Tensor
    nodes: Tensor
    node_weights: Tensor

    def __init__(self, model: MMVRNN) -> None:
        super().__init__()
        inputs, decoded = model.inputs, model.decoded
        hidden, latent, m = model.config.hidden, model.config.latent, len(inputs)
        assert isinstance(model.head, EngagementHead)
        self.decoded = [(i.likelihood, i.dim) for i in decoded]
        kinds = {i.likelihood for i in decoded}
        self.stacked = LOCATION_SCALE.get(next(iter(kinds))) if len(kinds) == 1 else None
        weights = dict(model.named_parameters()) | dict(model.named_buffers())

        def keep(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.detach().clone())

        def each(pattern: str, of: tuple[Modality, ...] = inputs) -> list[Tensor]:
            return [weights[pattern.format(i.name)] for i in of]

        def affine(pattern: str) -> list[Tensor]:
            """By modality, [weight, bias] of what takes [φ, 1], `[H + 1, N]`."""
            layers = zip(each(pattern + ".weight"), each(pattern + ".bias"), strict=True)
            return [torch.cat([w.T, b.unsqueeze(0)]) for w, b in layers]

        def switch_and_new(gates: Tensor) -> tuple[Tensor, Tensor]:
            """The gates that open and close, and what they let in; of the last axis."""
            return gates[..., : 2 * hidden], gates[..., 2 * hidden :]

        # x is every modality's values, normalised, each with a column more: 0, or −1 where it is absent.
        one = torch.ones(1)
        keep("center", torch.cat([v for c in each("center_{}") for v in (c, one)]))
        keep("inverse", torch.cat([v for s in each("scale_{}") for v in (1 / s, one)]))
        self.widths = [i.dim + 1 for i in inputs]
        # mask → which numbers of x count (not 0), and the greatest precisions: 0 of an absent expert. Always:
        # that column, and the prior. No small numbers among large ones, which 8 bits would lose.
        of_x = torch.block_diag(*(pad(torch.full((1, i.dim), experts.CAP), (0, 1)) for i in inputs))
        caps = torch.block_diag(*[torch.full((1, latent), experts.CAP)] * m)
        keep("mask_w", torch.cat([of_x, pad(caps, (latent, 0))], 1))
        always_x = torch.cat([v for i in inputs for v in (torch.zeros(i.dim), one)])
        keep("mask_b", torch.cat([always_x, torch.full((latent,), experts.CAP), torch.zeros(latent * m)]))
        self.from_mask = [sum(self.widths), latent * (1 + m)]

        # x → φ of all modalities, each with a unit more: 1 where it is present, and all 0 where not.
        biases = [torch.cat([b, one]) for b in each("phi.{}.0.bias")]
        layers = zip(each("phi.{}.0.weight"), biases, strict=True)
        self.phi = Blocks([torch.cat([pad(w.T, (0, 1)), b.unsqueeze(0)]) for w, b in layers], biases)
        # φ → the experts' means and raw precisions, the gates.
        means, raws = zip(*(w.chunk(2, -1) for w in affine("expert.{}")), strict=True)
        self.means, self.raws = Blocks([*means]), Blocks([*raws])
        switch_w, new_w = switch_and_new(torch.cat(affine("gates_x.{}")))
        keep("switch_w", switch_w)
        keep("new_w", new_w)

        # h → the prior, its part of the experts and gates, hidden layers of the decoders and of the head.
        switch_b, new_b = switch_and_new(weights["gates_z.bias"])

        def stacked(kind: str) -> Tensor:
            prior, of_experts, gates = weights[f"from_h.{kind}"].split(model.widths)
            prior_mean, prior_raw = prior.chunk(2)
            means, raws = zip(*(e.chunk(2) for e in of_experts.split(2 * latent)[:m]), strict=True)
            ends = [w[:, hidden:] if kind == "weight" else w for w in each(f"decoder.{{}}.0.{kind}", decoded)]
            if kind == "bias":
                gates = gates + pad(switch_b, (0, hidden))
            return torch.cat(
                [
                    prior_mean,
                    prior_raw,
                    *(mean - prior_mean for mean in means),
                    *raws,
                    gates,
                    *ends,
                    weights[f"head.of_h.0.{kind}"],
                ]
            )

        keep("h_w", stacked("weight").T.contiguous())
        keep("h_b", stacked("bias"))
        self.to_move = [latent, latent, latent * m, latent * m, 2 * hidden, hidden]
        self.to_tell = [hidden * len(decoded), hidden]
        keep("sum_z", torch.eye(latent).repeat(m, 1))  # adds the experts up

        # z → φ_z → gates
        keep("phi_z_w", weights["phi_z.0.weight"].T)
        keep("phi_z_b", weights["phi_z.0.bias"])
        switch_z_w, new_z_w = switch_and_new(weights["gates_z.weight"].T)
        keep("switch_z_w", switch_z_w)
        keep("new_z_w", new_z_w)
        keep("new_b", new_b)

        keep("decoder_w", torch.cat([w[:, :hidden] for w in each("decoder.{}.0.weight", decoded)]).T)
        ends_w, ends_b = (each(f"decoder.{{}}.2.{kind}", decoded) for kind in ("weight", "bias"))
        ends = [
            torch.cat([w, b.unsqueeze(1)], 1).T for w, b in zip(ends_w, ends_b, strict=True)
        ]  # [H + 1, ·]
        if self.stacked is not None:  # locations and raw scales in x's columns
            locations, scales = zip(*([pad(p, (0, 1)) for p in e.chunk(2, -1)] for e in ends), strict=True)
            self.location = Blocks([e[:-1] for e in locations], [e[-1] for e in locations])
            self.raw_scale = Blocks([e[:-1] for e in scales], [e[-1] for e in scales])
        else:
            self.decoders = Blocks([e[:-1] for e in ends], [e[-1] for e in ends])
        # Adds each decoded modality's columns up in its column of the mask; a context's stays 0.
        sums = torch.block_diag(*(pad(torch.ones(i.dim, 1), (0, 0, 0, 1)) for i in decoded))
        keep("sum_x", pad(sums, (0, m - len(decoded))))

        # Location and raw scale of the target's logit; z adds to the location, its variance to the square of
        # the scale.
        of_z = model.head.of_z.weight.T  # [Z, 1]
        keep("head_w", weights["head.of_h.2.weight"].T)
        keep("head_b", weights["head.of_h.2.bias"])
        keep("of_z", pad(of_z, (0, 1)))
        keep("of_variance", of_z * of_z)
        # Of the quadrature, and the ends of the interval.
        keep("nodes", torch.cat([NODES, torch.tensor([-HALF_WIDTH, HALF_WIDTH])]))
        keep("node_weights", WEIGHTS.unsqueeze(1))

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *inputs, mask, h = arguments
        x, *seen = self.see(inputs, mask)
        from_h = (h @ self.h_w + self.h_b).split([*self.to_move, *self.to_tell], -1)
        *moved, after = self.move(h, *from_h[: len(self.to_move)], *seen)
        return (*self.tell(x, mask, *from_h[len(self.to_move) :], *moved), after)

    def see(self, inputs: list[Tensor], mask: Tensor) -> tuple[Tensor, ...]:
        """What depends on the inputs alone: x in standard deviations, its part of the experts and of the
        gates, and the experts' greatest precisions; `[…, ·]`."""
        counts, caps = (mask @ self.mask_w + self.mask_b).split(self.from_mask, -1)
        columns = [v for pair in zip(inputs, mask.split(1, -1), strict=True) for v in pair]
        x = torch.where(counts.bool(), (torch.cat(columns, -1) - self.center) * self.inverse, 0.0)
        phi = relu(self.phi(x.clamp(-CLIP, CLIP)))
        return x, self.means(phi), self.raws(phi), phi @ self.switch_w, phi @ self.new_w + self.new_b, caps

    def move(
        self,
        h: Tensor,
        prior_mean: Tensor,
        prior_raw: Tensor,
        shifts_h: Tensor,
        raws_h: Tensor,
        switch_h: Tensor,
        new_h: Tensor,
        shifts_x: Tensor,
        raws_x: Tensor,
        switch_x: Tensor,
        new_x: Tensor,
        caps: Tensor,
    ) -> tuple[Tensor, ...]:
        """From h_{t-1} to h_t: the prior's mean, z's mean and variance, and h_t; all `[batch, ·]`."""
        # The posterior: the prior's mean, shifted by the experts that are present.
        raws = torch.cat([prior_raw, raws_x + raws_h], -1)
        precisions = torch.minimum(softplus(raws) + experts.FLOOR, caps)
        prior_precision, precisions = precisions.split([prior_raw.shape[-1], raws_h.shape[-1]], -1)
        variance = 1 / (precisions @ self.sum_z + prior_precision)
        z = prior_mean + (precisions * (shifts_x + shifts_h)) @ self.sum_z * variance

        # The recurrence.
        phi_z = self.phi_z(z)
        switch = torch.sigmoid(phi_z @ self.switch_z_w + (switch_x + switch_h))
        reset, update = switch.chunk(2, -1)
        new = torch.tanh(phi_z @ self.new_z_w + (new_x + reset * new_h))
        return prior_mean, z, variance, new + update * (h - new)

    def tell(
        self,
        x: Tensor,
        mask: Tensor,
        decoders_h: Tensor,
        head_h: Tensor,
        prior_mean: Tensor,
        z: Tensor,
        variance: Tensor,
    ) -> tuple[Tensor, ...]:
        """The estimates, z's mean and standard deviation, and how unlikely what came was under what was
        expected before: the decoders at the prior's mean; `[…, ·]`."""
        surprise = self.surprise(x, self.decode(prior_mean, decoders_h)) * mask
        return (*self.estimate(head_h, z, variance), z, torch.sqrt(variance), surprise)

    def estimate(self, head_h: Tensor, z: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
        """`EngagementHead.predict` with its sigmoids in one."""
        of_h = relu(head_h) @ self.head_w + self.head_b
        location, raw = (z @ self.of_z + of_h).chunk(2, -1)
        own = logit_scale(raw)
        scale = torch.sqrt(variance @ self.of_variance + own * own)
        y = torch.sigmoid(location + scale * self.nodes)
        y, low, high = y.split([len(self.node_weights), 1, 1], -1)
        mean = y @ self.node_weights
        deviation = y - mean
        std = torch.sqrt((deviation * deviation @ self.node_weights).clamp(min=1e-10))
        return mean, std, low, high

    def decode(self, z: Tensor, decoders_h: Tensor) -> Tensor:
        """The hidden layers of the decoders of all decoded modalities."""
        return relu(self.phi_z(z) @ self.decoder_w + decoders_h)

    def phi_z(self, z: Tensor) -> Tensor:
        return relu(z @ self.phi_z_w + self.phi_z_b)

    def surprise(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Negative log-likelihood by column of the mask, `[batch, M]`."""
        if self.stacked is not None:
            x = x[..., : len(self.sum_x)]
            scale = (softplus(self.raw_scale(hidden)) + likelihoods.FLOOR).clamp(max=likelihoods.CAP)
            return self.stacked(x, self.location(hidden), scale) @ self.sum_x
        parts = self.decoded_apart(hidden)
        values = x.split(self.widths, -1)
        columns = zip(self.decoded, parts, values[: len(parts)], strict=True)
        costs = torch.stack([nll(kind, part, value[..., :dim]) for (kind, dim), part, value in columns], -1)
        return pad(costs, (0, self.sum_x.shape[1] - len(parts)))

    def decoded_apart(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Of the likelihoods of the decoded modalities, where these are of several kinds."""
        parts: tuple[Tensor, ...] = self.decoders(hidden).split([width(*of) for of in self.decoded], -1)
        return parts
