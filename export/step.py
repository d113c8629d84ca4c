"""One step of an MM-VRNN as a graph of few, large products.

The same arithmetic as `models.mm_vrnn`, with the products of all modalities, of the prior, the recurrence and
the decoders stacked into one each: at batch 1 a step's time is the number of its operators more than their
size. Sampling is left out: live, z is the posterior's mean.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from ..models.experts import CAP, FLOOR
from ..models.likelihoods import LIKELIHOODS, scale
from ..models.mm_vrnn import CLIP, MMVRNN


class StepGraph(nn.Module):
    """`(x_1, …, x_M, mask, state_h) → (engagement…, z_mean, z_std, surprise, next_state_h)`.

    Inputs are raw `[batch, D_m]`, mask `[batch, M]` of 0 and 1 over observed and context modalities in the
    configuration's order, state `[batch, H]`. A masked value may be NaN.
    """

    center: Tensor
    inverse: Tensor
    spread_x: Tensor
    spread_phi: Tensor
    phi_w: Tensor
    phi_b: Tensor
    x_w: Tensor
    x_b: Tensor
    h_w: Tensor
    h_b: Tensor
    z_w: Tensor
    z_b: Tensor
    gates_w: Tensor
    gates_b: Tensor
    decode_w: Tensor
    out_w: Tensor
    out_b: Tensor
    last_w: Tensor
    last_b: Tensor
    sum_w: Tensor

    def __init__(self, model: MMVRNN) -> None:
        super().__init__()
        inputs, decoded = model.inputs, model.decoded
        self.latent, self.hidden = model.config.latent, model.config.hidden
        self.count, self.head = len(inputs), model.head
        self.inputs = inputs
        hidden, latent, m = self.hidden, self.latent, self.count
        weights = dict(model.named_parameters()) | dict(model.named_buffers())

        def keep(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.detach().clone())

        keep("center", torch.cat([weights[f"center_{i.name}"] for i in inputs]))
        keep("inverse", 1 / torch.cat([weights[f"scale_{i.name}"] for i in inputs]))
        keep("spread_x", torch.block_diag(*(torch.ones(1, i.dim) for i in inputs)))  # mask → per dimension
        keep("spread_phi", torch.block_diag(*(torch.ones(1, hidden) for _ in inputs)))
        keep("phi_w", torch.block_diag(*(weights[f"phi.{i.name}.0.weight"].T for i in inputs)))
        keep("phi_b", torch.cat([weights[f"phi.{i.name}.0.bias"] for i in inputs]))
        # φ of all modalities → their experts' parts, side by side, and the sum of their gates' parts.
        experts = torch.block_diag(*(weights[f"expert.{i.name}.weight"].T for i in inputs))
        gates = torch.cat([weights[f"gates_x.{i.name}.weight"].T for i in inputs])
        keep("x_w", torch.cat([experts, gates], 1))
        expert_bias = torch.block_diag(*(weights[f"expert.{i.name}.bias"][None] for i in inputs))
        keep(
            "x_b",
            torch.cat([expert_bias, torch.stack([weights[f"gates_x.{i.name}.bias"] for i in inputs])], 1),
        )
        # h → prior, experts, gates, hidden layers of the decoders and of the target's head.
        used = 2 * latent * (1 + m)
        total = sum(model.widths)
        rows = torch.cat([torch.arange(used), torch.arange(total - 3 * hidden, total)])
        decoders = [f"decoder.{i.name}.0" for i in decoded]
        keep(
            "h_w",
            torch.cat(
                [
                    weights["from_h.weight"][rows],
                    *(weights[f"{d}.weight"][:, hidden:] for d in decoders),
                    weights["head.of_h.0.weight"],
                ]
            ).T.contiguous(),
        )
        keep(
            "h_b",
            torch.cat(
                [
                    weights["from_h.bias"][rows],
                    *(weights[f"{d}.bias"] for d in decoders),
                    weights["head.of_h.0.bias"],
                ]
            ),
        )
        self.from_h = [2 * latent, 2 * latent * m, 3 * hidden, hidden * len(decoded), hidden]
        keep("z_w", weights["phi_z.0.weight"].T)
        keep("z_b", weights["phi_z.0.bias"])
        keep("gates_w", weights["gates_z.weight"].T)
        keep("gates_b", weights["gates_z.bias"])
        keep("decode_w", torch.cat([weights[f"{d}.weight"][:, :hidden] for d in decoders]).T)
        # Locations of all decoded modalities first, then all raw scales.
        ends = [f"decoder.{i.name}.2" for i in decoded]
        halves = [torch.block_diag(*(weights[f"{e}.weight"].chunk(2)[k].T for e in ends)) for k in (0, 1)]
        keep("out_w", torch.cat(halves, 1))
        keep("out_b", torch.cat([weights[f"{e}.bias"].chunk(2)[k] for k in (0, 1) for e in ends]))
        keep("last_w", weights["head.of_h.2.weight"].T)
        keep("last_b", weights["head.of_h.2.bias"])
        # Sums each decoded modality's dimensions into its column of the mask; a context's column stays 0.
        sums = torch.block_diag(*(torch.ones(i.dim, 1) for i in decoded))
        keep("sum_w", torch.cat([sums, torch.zeros(len(sums), m - len(decoded))], 1))
        self.decoded = [(i.likelihood, i.dim) for i in decoded]

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *x, mask, h = arguments
        latent, m = self.latent, self.count
        # Normalised inputs, 0 where missing.
        values = torch.cat(x, -1)
        values = torch.where((mask @ self.spread_x) > 0.5, (values - self.center) * self.inverse, 0.0)
        phi = relu(values.clamp(-CLIP, CLIP) @ self.phi_w + self.phi_b) * (mask @ self.spread_phi)
        from_x = phi @ self.x_w + mask @ self.x_b
        experts_x, gates_x = from_x.split([2 * latent * m, 3 * self.hidden], -1)
        prior, experts_h, gates_h, decoders_h, head_h = (h @ self.h_w + self.h_b).split(self.from_h, -1)

        # Precisions of the prior and of the experts, together; then the posterior as their product.
        both = torch.cat([prior, experts_x + experts_h], -1).unflatten(-1, (1 + m, 2, latent))
        precision = (softplus(both[:, :, 1]) + FLOOR).clamp(max=CAP)  # [B, 1 + M, Z]
        prior_mean, prior_precision = both[:, 0, 0], precision[:, 0]
        weights = precision[:, 1:] * mask.unsqueeze(-1)
        total = prior_precision + weights.sum(1)
        shift = (weights * (both[:, 1:, 0] - prior_mean.unsqueeze(1))).sum(1)
        z = prior_mean + shift / total

        # The recurrence.
        gates = gates_x + relu(z @ self.z_w + self.z_b) @ self.gates_w + self.gates_b
        reset_x, update_x, new_x = gates.chunk(3, -1)
        reset_h, update_h, new_h = gates_h.chunk(3, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        update = torch.sigmoid(update_x + update_h)
        after = new + update * (h - new)

        # What was expected before seeing: the decoders at the prior's mean.
        hidden = relu(relu(prior_mean @ self.z_w + self.z_b) @ self.decode_w + decoders_h)
        location, raw = (hidden @ self.out_w + self.out_b).chunk(2, -1)
        cost = self.cost(values[:, : location.shape[-1]], location, scale(raw))
        surprise = (cost @ self.sum_w) * mask

        location, raw = (relu(head_h) @ self.last_w + self.last_b).chunk(2, -1)
        prediction = self.head.integrated(location, raw, z, 1 / total)
        return (*prediction, z, torch.rsqrt(total), surprise, after)

    def cost(self, x: Tensor, location: Tensor, spread: Tensor) -> Tensor:
        """Negative log-density by dimension, `[batch, ΣD]`."""
        if len(kinds := {likelihood for likelihood, _ in self.decoded}) == 1:
            return LIKELIHOODS[kinds.pop()](x, location, spread)
        dims = [dim for _, dim in self.decoded]
        parts = zip(
            self.decoded, x.split(dims, -1), location.split(dims, -1), spread.split(dims, -1), strict=True
        )
        return torch.cat([LIKELIHOODS[kind](*of) for (kind, _), *of in parts], -1)
