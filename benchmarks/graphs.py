"""Time of a tick: the step graph beside the block graph, PyTorch and NumPy, and batches of streams.

    python benchmarks/graphs.py [--rounds N]

MM-VRNN with three modalities (face 57, audio 44, context 8) and the forward filter of an MDVAE with three,
weights as they are drawn, one thread each, in turns; µs a tick, median (5–95 %). A step is run as the engine
runs it, on buffers that ONNX Runtime knows; beside it the plain `session.run`, which takes a dictionary and
makes new arrays. NumPy does the same stacked products and functions as MM-VRNN's step, surprise included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.bundle.sequence import initial_states
from enrapt.export.step import Blocks, StepGraph
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models.config import load_config
from enrapt.models.experts import FLOOR
from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.likelihoods import LOGIT_CAP
from enrapt.models.mdvae import MDVAE
from enrapt.models.mm_vrnn import CLIP, MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.realtime.engine.engine import Engine

torch.set_num_threads(1)
TICKS = 200  # of a block
MODALITIES = (
    Modality("face", 57),
    Modality("audio", 44),
    Modality("context", 8, role="context"),
    Modality("engagement", 1, role="target", likelihood="logit_normal"),
)


def bundle_of(model: MMVRNN | ForwardFilter, kind: str, folder: Path) -> Bundle:
    graph, path = graph_of(model, kind), folder / f"{kind}.onnx"
    path.write_bytes(with_metadata(graph, describe(load_config("default"), model, kind, 0, digest(graph))))
    return Bundle.load(path)


def made_up(bundle: Bundle, *shape: int) -> dict[str, np.ndarray]:
    """What a graph takes, everything present; shape is that of its axes before the last."""
    rng, inputs = np.random.default_rng(0), bundle.metadata.inputs
    x = {m.name: rng.standard_normal((*shape, m.dim), np.float32) for m in inputs}
    return x | {"mask": np.ones((*shape, len(inputs)), np.float32)} | initial_states(bundle, shape[0])


def numpy_step(graph: StepGraph) -> Callable[..., np.ndarray]:
    """`StepGraph.forward` in NumPy; gives the next state."""
    w = {k: v.numpy() for k, v in graph.named_buffers()}
    cut_mask = np.cumsum(graph.from_mask)[:-1]
    cut_h = np.cumsum([*graph.to_move, *graph.to_tell])[:-1]

    def softplus(x: np.ndarray) -> np.ndarray:
        return np.logaddexp(x, 0)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def phi_z(z: np.ndarray) -> np.ndarray:
        return np.maximum(z @ w["phi_z_w"] + w["phi_z_b"], 0)

    def blocks(of: Blocks) -> Callable[[np.ndarray], np.ndarray]:
        weights = [p.detach().numpy() for p in of.weights]
        biases = [p.detach().numpy() for p in of.biases] or [np.float32(0)] * len(weights)
        cuts = np.cumsum(of.sizes)[:-1] if of.apart else []

        def product(x: np.ndarray) -> np.ndarray:
            parts = zip(np.split(x, cuts, -1), weights, biases, strict=True)
            return np.concatenate([part @ w + b for part, w, b in parts], -1)

        return product

    of_x, means, raws, locations, raw_scales = (
        blocks(of) for of in (graph.phi, graph.means, graph.raws, graph.location, graph.raw_scale)
    )

    def step(inputs: list[np.ndarray], mask: np.ndarray, h: np.ndarray) -> np.ndarray:
        counts, caps = np.split(mask @ w["mask_w"] + w["mask_b"], cut_mask, -1)
        prior_mean, prior_raw, shifts_h, raws_h, switch_h, new_h, decoders_h, head_h = np.split(
            h @ w["h_w"] + w["h_b"], cut_h, -1
        )
        columns = [v for i, x in enumerate(inputs) for v in (x, mask[:, i : i + 1])]
        x = np.where(counts > 0, (np.concatenate(columns, -1) - w["center"]) * w["inverse"], 0)
        phi = np.maximum(of_x(np.clip(x, -CLIP, CLIP)), 0)
        # The posterior.
        raw = np.concatenate([prior_raw, raws(phi) + raws_h], -1)
        precisions = np.minimum(softplus(raw) + FLOOR, caps)
        prior, precisions = np.split(precisions, [prior_raw.shape[-1]], -1)
        variance = 1 / (prior + precisions @ w["sum_z"])
        z = prior_mean + (precisions * (means(phi) + shifts_h)) @ w["sum_z"] * variance
        # The recurrence.
        n, of_z = h.shape[-1], phi_z(z)
        gates = sigmoid(phi @ w["switch_w"] + of_z @ w["switch_z_w"] + switch_h)
        new_x = phi @ w["new_w"] + of_z @ w["new_z_w"] + w["new_b"]
        new = np.tanh(new_x + gates[:, :n] * new_h)
        # What is told: surprise and the estimate.
        hidden = np.maximum(phi_z(prior_mean) @ w["decoder_w"] + decoders_h, 0)
        location, spread = locations(hidden), np.minimum(softplus(raw_scales(hidden)) + 0.02, 20)
        (np.abs(x[:, : location.shape[-1]] - location) / spread + np.log(2 * spread)) @ w["sum_x"]
        of_h = np.maximum(head_h, 0) @ w["head_w"] + w["head_b"]
        location, raw = np.split(of_h + z @ w["of_z"], 2, -1)
        own = np.minimum(softplus(raw) + 0.02, LOGIT_CAP)
        y = sigmoid(location + np.sqrt(own * own + variance @ w["of_variance"]) * w["nodes"])
        y = y[:, :-2]
        deviation = y - y @ w["node_weights"]
        np.sqrt(np.maximum(deviation * deviation @ w["node_weights"], 1e-10))
        return new + gates[:, n:] * (h - new)

    return step


Kinds = dict[str, tuple[Callable[[], object], int, int]]  # by name: what, calls at once, ticks a call


def race(kinds: Kinds, rounds: int) -> None:
    """Take turns, and print how long each took; the first is what the others are compared with."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (call, calls, per_call) in kinds.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            taken[name].append((time.perf_counter() - start) / calls / per_call * 1e6)
    (first, *_) = taken.values()
    for name, values in taken.items():
        ordered = sorted(values)
        low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
        ratio = statistics.median(s / v for s, v in zip(first, values, strict=True))
        print(
            f"  {name:18s} {statistics.median(values):7.1f} ({low:.1f}–{high:.1f})   "
            f"step takes {ratio:5.2f} × as long"
        )


def graphs(model: MMVRNN | ForwardFilter) -> Kinds:
    """The graphs of a model, and the model itself."""
    with tempfile.TemporaryDirectory() as folder:
        step, block = (bundle_of(model, kind, Path(folder)) for kind in ("step", "block"))
    one, many, ticks = made_up(step, 1), made_up(step, 128), made_up(block, 1, TICKS)
    inputs = [m.name for m in step.metadata.inputs]
    tensors = {name: torch.from_numpy(one[name])[:, None] for name in inputs}
    here = {name: torch.ones(1, 1, dtype=torch.bool) for name in inputs}

    def eager() -> None:
        with torch.no_grad():
            model.predict(tensors, here, model.initial_state(1))

    engine, engines = Engine(step), Engine(step, streams=128)
    engine.step({name: one[name][0] for name in inputs})
    engines.step_streams([{name: many[name][i] for name in inputs} for i in range(128)])
    kinds: Kinds = {
        "step": (engine.advance, 20, 1),
        "step, plain run": (lambda: step.session.run(None, one), 20, 1),
        "PyTorch, eager": (eager, 5, 1),
        "block": (lambda: block.session.run(None, ticks), 1, TICKS),
        "step, 128 streams": (engines.advance, 2, 128),
    }
    if isinstance(model, MMVRNN):
        in_numpy, x = numpy_step(StepGraph(model)), [one[name] for name in inputs]
        (expected,) = step.session.run(["next_state_h"], one)
        np.testing.assert_allclose(in_numpy(x, one["mask"], one["state_h"]), expected, atol=1e-5)
        kinds["NumPy"] = (lambda: in_numpy(x, one["mask"], one["state_h"]), 20, 1)
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    print("µs a tick and stream")
    for hidden, latent in ((64, 16), (128, 32)):
        torch.manual_seed(0)
        model = MMVRNN(MMVRNNConfig(MODALITIES, hidden=hidden, latent=latent)).eval()
        print(f"MM-VRNN, hidden {hidden}, latent {latent}")
        race(graphs(model), args.rounds)
    torch.manual_seed(0)
    modalities = tuple(m if m.role == "target" else Modality(m.name, m.dim) for m in MODALITIES)
    sizes = msgspec.structs.replace(load_config("mdvae").model, modalities=modalities)
    print(f"forward filter of an MDVAE, hidden 128 and {sizes.hidden}")
    race(graphs(ForwardFilter(MDVAE(sizes), hidden=128).eval()), args.rounds)


if __name__ == "__main__":
    main()
