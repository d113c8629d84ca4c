"""A model as the module that is exported: a bundle's tensors around the model's own arithmetic.

The three kinds of graph of a model share everything but this: a `block` has an axis of ticks and runs its
recurrence in one Scan, a `full` graph also decodes z into every observed modality. Nothing is sampled except
by the `noise` of a full graph: a recurrence continues with the posterior's mean.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan
from torch.nn.functional import pad

from ..bundle.metadata import Graph
from ..models.dmvae import DMVAE
from ..models.engagement import Prediction
from ..models.forward_filter import FilterState, ForwardFilter
from ..models.mm_vrnn import MMVRNN, Evidence, Latents
from ..models.mvae import MVAE
from .layout import Exportable, layout

Tensors = dict[str, Tensor]


class Outputs(NamedTuple):
    """What a model gives for one tick, `[B, ·]`, or for a block of T ticks, `[B, T, ·]`.

    Attributes:
        prediction: the target's predictive distribution, `[…, 1]` each.
        z_mean, z_std: of all latents, `[…, Z]`.
        surprise: nats, `[…]`, by observed modality.
        states: after the last tick, `[B, ·]` each.
        decode: z `[…, Z]` → the mean of each observed modality, raw units, `[…, D_m]`.
    """

    prediction: Prediction
    z_mean: Tensor
    z_std: Tensor
    surprise: Tensors
    states: tuple[Tensor, ...]
    decode: Callable[[Tensor], Mapping[str, Tensor]]


class ModelGraph(nn.Module):
    """`(x_1, …, x_M, mask, states…[, noise]) → (engagement…, z_mean, z_std, surprise, next states…
    [, reconstruction_1, …])`.

    Inputs are raw `[B, D_m]`, mask `[B, M]` of 0 and 1, both in the order of the layout; a masked value may
    be NaN. In a `block` they and the outputs have an axis of ticks, `[B, T, ·]`; states never do. Noise
    `[B, Z]` and reconstructions `[B, D_m]` are those of `full`: the mean of each observed modality, raw
    units, at z_mean + noise · z_std.
    """

    def __init__(self, model: Exportable, kind: Graph) -> None:
        super().__init__()
        self.model, self.kind, self.layout = model, kind, layout(model)

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        inputs, decoded = self.layout.inputs, self.layout.decoded
        *values, mask = arguments[: len(inputs) + 1]
        states = arguments[len(inputs) + 1 :][: len(self.layout.states)]
        x = {m.name: value for m, value in zip(inputs, values, strict=True)}
        present = {m.name: mask[..., i].bool() for i, m in enumerate(inputs)}
        outputs = run(self.model, x, present, states, block=self.kind == "block")
        surprise = torch.stack([outputs.surprise[m.name] for m in decoded], -1)
        surprise = pad(surprise, (0, len(inputs) - len(decoded)))  # 0 of a context, which is not decoded
        reconstructed = []
        if self.kind == "full":
            means = outputs.decode(outputs.z_mean + arguments[-1] * outputs.z_std)
            reconstructed = [means[m.name] for m in decoded]
        return (
            *outputs.prediction,
            outputs.z_mean,
            outputs.z_std,
            surprise,
            *outputs.states,
            *reconstructed,
        )


def run(model: Exportable, x: Tensors, present: Tensors, states: tuple[Tensor, ...], block: bool) -> Outputs:
    """One tick of a model, or a block of them: x `[…, D_m]` and present bool `[…]` by modality."""
    if isinstance(model, MMVRNN):
        return run_mm_vrnn(model, x, present, states, block)
    if isinstance(model, ForwardFilter):
        return run_filter(model, x, present, states, block)
    return run_stateless(model, x, present)


def recur(
    tick: Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]],
    state: Tensor,
    inputs: list[Tensor],
    block: bool,
) -> tuple[Tensor, list[Tensor]]:
    """A recurrence over one tick, or over a block of T as one Scan, T free in the graph.

    Args:
        tick: state `[B, ·]` and inputs `[B, ·]` → the next state, and outputs `[B, ·]`.
        inputs: `[B, ·]`, of a block `[B, T, ·]`.

    Returns:
        The state after the last tick, and the outputs, of a block `[B, T, ·]`.
    """
    if not block:
        return tick(state, inputs)

    def body(state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        after, outputs = tick(state, inputs)
        return after, [output.clone() for output in outputs]  # scan refuses outputs that alias its inputs

    after, outputs = scan(body, state, inputs, dim=1)
    return after, outputs


def run_mm_vrnn(
    model: MMVRNN, x: Tensors, present: Tensors, states: tuple[Tensor, ...], block: bool
) -> Outputs:
    """State: h. Only the recurrence runs tick by tick; encoders and decoders take the whole block."""
    given = model.given(x)

    def tick(h: Tensor, evidence: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        *latents, after = model.tick(h, Evidence(*evidence), given)
        return after, latents

    after, parts = recur(tick, states[0], [*model.evidence(x, present)], block)
    latents = Latents._make([*parts, after])
    prediction, surprise = model.predict_from(latents, x, present)
    std = torch.rsqrt(latents.precision)
    return Outputs(
        prediction, latents.mean, std, surprise, (after,), lambda z: model.reconstruct(z, latents.h)
    )


def run_filter(
    model: ForwardFilter, x: Tensors, present: Tensors, states: tuple[Tensor, ...], block: bool
) -> Outputs:
    """States: h, and where there is a w its precision and shift. z is all latents, concatenated in the order
    of the smoother's sizes."""
    of_x, of_h, bias_x, bias_h = model.gru.all_weights[0]
    halves = [2 * model.gru.hidden_size, model.gru.hidden_size]

    def tick(h: Tensor, gates_x: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The equations of `nn.GRU`, which when exported has a fixed T."""
        switches_x, new_x = gates_x[0].split(halves, -1)  # [B, 2 H], [B, H]
        switches_h, new_h = (h @ of_h.T + bias_h).split(halves, -1)
        reset, update = torch.sigmoid(switches_x + switches_h).chunk(2, -1)
        new = torch.tanh(new_x + reset * new_h)
        after = new + update * (h - new)
        return after, [after]

    nothing = states[0][:, :0]
    state = FilterState(*states) if model.static else FilterState(states[0], nothing, nothing)
    features, anything = model.encode(x, present)
    _, (h,) = recur(tick, state.h, [features @ of_x.T + bias_x], block)
    if block:
        beliefs, expected, after = model.segment_beliefs(h, anything, state)
    else:
        evidence = zip(state[1:], model.evidence(h, anything), strict=True)
        after = FilterState(h, *(before + added for before, added in evidence))
        beliefs, expected = model.beliefs(after), model.beliefs(state, model.expected)
    mean, std = model.concatenated(beliefs)
    surprise = {m.name: model.surprise(m, x[m.name], present[m.name], expected) for m in model.observed}

    def decode(z: Tensor) -> Tensors:
        sizes = model.smoother.sizes
        parts = zip(sizes, z.split([*sizes.values()], -1), strict=True)
        return model.smoother.decode(dict(parts))

    return Outputs(model.target_distribution(beliefs), mean, std, surprise, after[: len(states)], decode)


def run_stateless(model: MVAE | DMVAE, x: Tensors, present: Tensors) -> Outputs:
    """Each tick by itself; a block is as many samples as it has ticks."""
    shape = next(iter(present.values())).shape
    x = {name: value.flatten(0, -2) for name, value in x.items()}  # [B · T, D_m]
    present = {name: value.flatten() for name, value in present.items()}
    prediction, surprise = model.predict(x, present)
    mean, precision = model.posterior(x, present)

    def per_tick(value: Tensor) -> Tensor:
        return value.reshape(*shape, -1)

    return Outputs(
        Prediction(*map(per_tick, prediction)),
        per_tick(mean),
        per_tick(torch.rsqrt(precision)),
        {name: nats.reshape(shape) for name, nats in surprise.items()},
        (),
        model.decode,
    )
