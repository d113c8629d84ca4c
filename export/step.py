"""One step of an MM-VRNN as a graph of few, large products.

The same arithmetic as `models.mm_vrnn`. At batch 1 a step's time is the number of its operators more than
their size, so the products of all modalities, of the prior, of the recurrence and of the decoders are stacked
into one each, and what is linear is done to the weights beforehand: an expert's mean comes out as its
difference from the prior's. Sampling is left out: live, z is the posterior's mean.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu, softplus

from ..models.engagement import EngagementHead
from ..models.experts import CAP, FLOOR
from ..models.likelihoods import LOCATION_SCALE, nll, scale, width
from ..models.mm_vrnn import CLIP, MMVRNN
from ..models.modality import Modality


class StepGraph(nn.Module):
    """`(x_1, …, x_M, mask, state_h) → (engagement…, z_mean, z_std, surprise, next_state_h)`.

    Inputs are raw `[batch, D_m]`, mask `[batch, M]` of 0 and 1 over observed and context modalities in the
    model's order, state `[batch, H]`. A masked value may be NaN.
    """

    center: Tensor
    inverse: Tensor
    mask_w: Tensor
    phi_w: Tensor
    phi_b: Tensor
    x_w: Tensor
    h_w: Tensor
    h_b: Tensor
    sum_z: Tensor
    phi_z_w: Tensor
    phi_z_b: Tensor
    gates_w: Tensor
    gates_b: Tensor
    decoder_w: Tensor
    out_w: Tensor
    out_b: Tensor
    sum_x: Tensor
    head_w: Tensor
    head_b: Tensor

    def __init__(self, model: MMVRNN) -> None:
        super().__init__()
        inputs, decoded = model.inputs, model.decoded
        hidden, latent, m = model.config.hidden, model.config.latent, len(inputs)
        assert isinstance(model.head, EngagementHead)
        self.head = model.head
        self.decoded = [(i.likelihood, i.dim) for i in decoded]
        kinds = {i.likelihood for i in decoded}
        self.stacked = LOCATION_SCALE.get(next(iter(kinds))) if len(kinds) == 1 else None
        weights = dict(model.named_parameters()) | dict(model.named_buffers())

        def keep(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.detach().clone())

        def each(pattern: str, of: tuple[Modality, ...] = inputs) -> list[Tensor]:
            return [weights[pattern.format(i.name)] for i in of]

        def rows(blocks: list[Tensor]) -> Tensor:
            """Block-diagonal, each block a row of ones or of biases."""
            return torch.block_diag(*(b.reshape(1, -1) for b in blocks))

        keep("center", torch.cat(each("center_{}")))
        keep("inverse", 1 / torch.cat(each("scale_{}")))
        keep("phi_w", torch.block_diag(*(w.T for w in each("phi.{}.0.weight"))))
        keep("phi_b", torch.cat(each("phi.{}.0.bias")))

        # φ of all modalities → [the experts' means, the prior's and the experts' raw precisions, gates].
        # The prior has no part in φ.
        mean_x, raw_x = zip(*(w.chunk(2) for w in each("expert.{}.weight")), strict=True)
        mean_b, raw_b = zip(*(b.chunk(2) for b in each("expert.{}.bias")), strict=True)
        no_prior = torch.zeros(hidden * m, latent)
        means, raws = (torch.block_diag(*(w.T for w in ws)) for ws in (mean_x, raw_x))
        gates = torch.cat([w.T for w in each("gates_x.{}.weight")])
        keep("x_w", torch.cat([means, no_prior, raws, gates], 1))
        x_b = torch.cat([rows([*mean_b]), torch.zeros(m, latent), rows([*raw_b])], 1)
        x_b = torch.cat([x_b, torch.stack(each("gates_x.{}.bias"))], 1)
        # mask → what it switches: dimensions, features, experts, and the biases of what was φ's.
        ones = [
            rows([torch.ones(n) for n in ns]) for ns in ([i.dim for i in inputs], [hidden] * m, [latent] * m)
        ]
        keep("mask_w", torch.cat([*ones, x_b], 1))
        self.from_mask = [sum(i.dim for i in inputs), hidden * m, latent * m, x_b.shape[1]]

        # h → the prior's mean, the same as above, hidden layers of the decoders and of the target's head.
        def stacked(kind: str) -> Tensor:
            prior, experts, gates = weights[f"from_h.{kind}"].split(model.widths)
            prior_mean, prior_raw = prior.chunk(2)
            halves = [e.chunk(2) for e in experts.split(2 * latent)[:m]]
            ends = [w[:, hidden:] if kind == "weight" else w for w in each(f"decoder.{{}}.0.{kind}", decoded)]
            return torch.cat(
                [
                    prior_mean,
                    *(mean - prior_mean for mean, _ in halves),
                    prior_raw,
                    *(raw for _, raw in halves),
                    gates,
                    *ends,
                    weights[f"head.of_h.0.{kind}"],
                ]
            )

        keep("h_w", stacked("weight").T.contiguous())
        keep("h_b", stacked("bias"))
        self.experts = [latent * m, latent * (1 + m)]
        self.from_h = [latent, sum(self.experts), 3 * hidden, hidden * len(decoded), hidden]
        keep("sum_z", torch.eye(latent).repeat(m, 1))  # adds the experts up

        keep("phi_z_w", weights["phi_z.0.weight"].T)
        keep("phi_z_b", weights["phi_z.0.bias"])
        keep("gates_w", weights["gates_z.weight"].T)
        keep("gates_b", weights["gates_z.bias"])

        keep("decoder_w", torch.cat([w[:, :hidden] for w in each("decoder.{}.0.weight", decoded)]).T)
        ends_w, ends_b = (each(f"decoder.{{}}.2.{kind}", decoded) for kind in ("weight", "bias"))
        if self.stacked is not None:  # locations of all decoded modalities first, then all raw scales
            halves = [[w.chunk(2)[k] for w in ends_w] for k in (0, 1)]
            keep("out_w", torch.cat([torch.block_diag(*(w.T for w in half)) for half in halves], 1))
            keep("out_b", torch.cat([b.chunk(2)[k] for k in (0, 1) for b in ends_b]))
        else:
            keep("out_w", torch.block_diag(*(w.T for w in ends_w)))
            keep("out_b", torch.cat(ends_b))
        # Adds each decoded modality's dimensions up in its column of the mask; a context's column stays 0.
        sums = torch.block_diag(*(torch.ones(i.dim, 1) for i in decoded))
        keep("sum_x", torch.cat([sums, torch.zeros(len(sums), m - len(decoded))], 1))
        keep("head_w", weights["head.of_h.2.weight"].T)
        keep("head_b", weights["head.of_h.2.bias"])

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *inputs, mask, h = arguments
        seen = self.see(inputs, mask)
        from_h = (h @ self.h_w + self.h_b).split(self.from_h, -1)
        moved = self.move(h, *from_h[:3], *seen[1:])
        return (*self.tell(seen[0], mask, *from_h[3:], *moved[:3]), moved[3])

    def see(self, inputs: list[Tensor], mask: Tensor) -> tuple[Tensor, ...]:
        """What depends on the inputs alone: x in standard deviations, its part of the experts and of the
        gates, and which experts are present; `[…, ·]`."""
        mask_x, mask_phi, mask_z, x_b = (mask @ self.mask_w).split(self.from_mask, -1)
        x = torch.where(mask_x.bool(), (torch.cat(inputs, -1) - self.center) * self.inverse, 0.0)
        phi = relu(x.clamp(-CLIP, CLIP) @ self.phi_w + self.phi_b) * mask_phi
        experts, gates = (phi @ self.x_w + x_b).split([sum(self.experts), self.from_h[2]], -1)
        return x, experts, gates, mask_z

    def move(
        self,
        h: Tensor,
        prior_mean: Tensor,
        experts_h: Tensor,
        gates_h: Tensor,
        experts_x: Tensor,
        gates_x: Tensor,
        mask_z: Tensor,
    ) -> tuple[Tensor, ...]:
        """From h_{t-1} to h_t: the prior's mean, z's mean and precision, and h_t; all `[batch, ·]`."""
        # The posterior: the prior's mean, shifted by the experts that are present.
        shifts, raws = (experts_x + experts_h).split(self.experts, -1)
        precisions = (softplus(raws) + FLOOR).clamp(max=CAP)
        prior_precision, precisions = precisions.split([prior_mean.shape[-1], shifts.shape[-1]], -1)
        precisions = precisions * mask_z
        total = prior_precision + precisions @ self.sum_z
        z = prior_mean + ((precisions * shifts) @ self.sum_z) / total

        # The recurrence.
        hidden = h.shape[-1]
        gates_x = gates_x + (self.phi_z(z) @ self.gates_w + self.gates_b)
        (switch_x, new_x), (switch_h, new_h) = (g.split([2 * hidden, hidden], -1) for g in (gates_x, gates_h))
        reset, update = torch.sigmoid(switch_x + switch_h).chunk(2, -1)
        new = torch.tanh(new_x + reset * new_h)
        return prior_mean, z, total, new + update * (h - new)

    def tell(
        self,
        x: Tensor,
        mask: Tensor,
        decoders_h: Tensor,
        head_h: Tensor,
        prior_mean: Tensor,
        z: Tensor,
        total: Tensor,
    ) -> tuple[Tensor, ...]:
        """The estimates, z's mean and standard deviation, and how unlikely what came was under what was
        expected before: the decoders at the prior's mean; `[…, ·]`."""
        surprise = self.surprise(x, self.decode(prior_mean, decoders_h)) * mask
        location, raw = (relu(head_h) @ self.head_w + self.head_b).chunk(2, -1)
        prediction = self.head.integrated(location, raw, z, 1 / total)
        return (*prediction, z, torch.rsqrt(total), surprise)

    def decode(self, z: Tensor, decoders_h: Tensor) -> Tensor:
        """The parameters of all decoded modalities' likelihoods, in the order of `out_w`."""
        return relu(self.phi_z(z) @ self.decoder_w + decoders_h) @ self.out_w + self.out_b

    def phi_z(self, z: Tensor) -> Tensor:
        return relu(z @ self.phi_z_w + self.phi_z_b)

    def surprise(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Negative log-likelihood by column of the mask, `[batch, M]`."""
        dims = [dim for _, dim in self.decoded]
        x = x[..., : sum(dims)]
        if self.stacked is not None:
            location, raw = parameters.chunk(2, -1)
            return self.stacked(x, location, scale(raw)) @ self.sum_x
        parts = parameters.split([width(*of) for of in self.decoded], -1)
        columns = zip(self.decoded, parts, x.split(dims, -1), strict=True)
        costs = torch.stack([nll(kind, part, value) for (kind, _), part, value in columns], -1)
        return pad(costs, (0, self.sum_x.shape[1] - len(dims)))
