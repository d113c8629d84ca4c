"""Time of a tick: the step graph beside the block graph, PyTorch and NumPy, and batches of streams.

    python benchmarks/graphs.py [--rounds N]

MM-VRNN with three modalities (face 57, audio 44, context 8), weights as they are drawn, one thread each, in
turns; µs a tick, median (5–95 %). NumPy does the same stacked products and functions, surprise included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from enrapt.export.bundle import Bundle, digest
from enrapt.export.step import StepGraph
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models.config import load_config
from enrapt.models.experts import CAP, FLOOR
from enrapt.models.mm_vrnn import CLIP, MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality

torch.set_num_threads(1)
TICKS = 200  # of a block
MODALITIES = (
    Modality("face", 57),
    Modality("audio", 44),
    Modality("context", 8, role="context"),
    Modality("engagement", 1, role="target", likelihood="logit_normal"),
)


def bundle_of(model: MMVRNN, kind: str, folder: Path) -> Bundle:
    graph, path = graph_of(model, kind), folder / f"{kind}.onnx"
    path.write_bytes(with_metadata(graph, describe(load_config("default"), model, kind, 0, digest(graph))))
    return Bundle.load(path)


def made_up(model: MMVRNN, *shape: int) -> dict[str, np.ndarray]:
    """What a graph takes, everything present; shape is that of its axes before the last."""
    rng = np.random.default_rng(0)
    x = {m.name: rng.standard_normal((*shape, m.dim), np.float32) for m in model.inputs}
    x["mask"] = np.ones((*shape, len(model.inputs)), np.float32)
    return x | {"state_h": np.zeros((shape[0], model.config.hidden), np.float32)}


def numpy_step(graph: StepGraph) -> Callable[..., np.ndarray]:
    """`StepGraph.forward` in NumPy; gives the next state."""
    w = {k: v.numpy() for k, v in graph.named_buffers()}
    head = {k: v.detach().numpy() for k, v in graph.head.named_parameters()}
    nodes, weights = w["head.nodes"], w["head.weights"]
    cut_mask, cut_h = np.cumsum(graph.from_mask)[:-1], np.cumsum(graph.from_h)[:-1]
    latent, experts = graph.from_h[0], graph.experts

    def softplus(x: np.ndarray) -> np.ndarray:
        return np.logaddexp(x, 0)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def phi_z(z: np.ndarray) -> np.ndarray:
        return np.maximum(z @ w["phi_z_w"] + w["phi_z_b"], 0)

    def step(inputs: list[np.ndarray], mask: np.ndarray, h: np.ndarray) -> np.ndarray:
        mask_x, mask_phi, mask_z, x_b = np.split(mask @ w["mask_w"], cut_mask, -1)
        prior_mean, experts_h, gates_h, decoders_h, head_h = np.split(h @ w["h_w"] + w["h_b"], cut_h, -1)
        x = np.where(mask_x > 0, (np.concatenate(inputs, -1) - w["center"]) * w["inverse"], 0)
        phi = np.maximum(np.clip(x, -CLIP, CLIP) @ w["phi_w"] + w["phi_b"], 0) * mask_phi
        experts_x, gates_x = np.split(phi @ w["x_w"] + x_b, [sum(experts)], -1)
        shifts, raws = np.split(experts_x + experts_h, [experts[0]], -1)
        prior, precisions = np.split(np.minimum(softplus(raws) + FLOOR, CAP), [latent], -1)
        precisions = precisions * mask_z
        total = prior + precisions @ w["sum_z"]
        z = prior_mean + (precisions * shifts) @ w["sum_z"] / total
        n = h.shape[-1]
        gates_x = gates_x + (phi_z(z) @ w["gates_w"] + w["gates_b"])
        gates = sigmoid(gates_x[:, : 2 * n] + gates_h[:, : 2 * n])
        new = np.tanh(gates_x[:, 2 * n :] + gates[:, :n] * gates_h[:, 2 * n :])
        # What is told: surprise and the estimate.
        out = np.maximum(phi_z(prior_mean) @ w["decoder_w"] + decoders_h, 0) @ w["out_w"] + w["out_b"]
        location, raw = np.split(out, 2, -1)
        spread = np.minimum(softplus(raw) + 0.02, 20)
        (np.abs(x[:, : location.shape[-1]] - location) / spread + np.log(2 * spread)) @ w["sum_x"]
        location, raw = np.split(np.maximum(head_h, 0) @ w["head_w"] + w["head_b"], 2, -1)
        of_z = head["of_z.weight"]
        scale = np.sqrt(softplus(raw) ** 2 + (1 / total) @ (of_z * of_z).T)
        sigmoid(location + z @ of_z.T + scale * nodes) @ weights
        return new + gates[:, n:] * (h - new)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    for hidden, latent in ((64, 16), (128, 32)):
        torch.manual_seed(0)
        model = MMVRNN(MMVRNNConfig(MODALITIES, hidden=hidden, latent=latent)).eval()
        with tempfile.TemporaryDirectory() as folder:
            step, block = (bundle_of(model, kind, Path(folder)) for kind in ("step", "block"))

        one, many, ticks = (made_up(model, *shape) for shape in ((1,), (128,), (1, TICKS)))
        tensors = {m.name: torch.from_numpy(one[m.name])[:, None] for m in model.inputs}
        here = {m.name: torch.ones(1, 1, dtype=torch.bool) for m in model.inputs}
        in_numpy, arguments = numpy_step(StepGraph(model)), [one[m.name] for m in model.inputs]
        (expected,) = step.session.run(["next_state_h"], one)
        found = in_numpy(arguments, one["mask"], one["state_h"])
        np.testing.assert_allclose(found, expected, atol=1e-5)

        def eager(x=tensors, here=here, model=model) -> None:
            with torch.no_grad():
                model.predict(x, here, model.initial_state(1))

        kinds: dict[str, tuple[Callable[[], object], int, int]] = {  # what, calls at once, ticks a call
            "step": (lambda s=step, x=one: s.session.run(None, x), 20, 1),
            "NumPy": (lambda f=in_numpy, a=arguments, x=one: f(a, x["mask"], x["state_h"]), 20, 1),
            "PyTorch, eager": (eager, 5, 1),
            "block": (lambda b=block, x=ticks: b.session.run(None, x), 1, TICKS),
            "step, 128 streams": (lambda s=step, x=many: s.session.run(None, x), 2, 128),
        }
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(args.rounds):
            for name, (call, calls, per_call) in kinds.items():
                start = time.perf_counter()
                for _ in range(calls):
                    call()
                taken[name].append((time.perf_counter() - start) / calls / per_call * 1e6)
        print(f"hidden {hidden}, latent {latent}; µs a tick and stream")
        for name, values in taken.items():
            ordered = sorted(values)
            low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
            ratio = statistics.median(s / v for s, v in zip(taken["step"], values, strict=True))
            print(
                f"  {name:18s} {statistics.median(values):7.1f} ({low:.1f}–{high:.1f})   "
                f"step takes {ratio:5.2f} × as long"
            )


if __name__ == "__main__":
    main()
