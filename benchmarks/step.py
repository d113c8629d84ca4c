"""One step of a bundle: ONNX Runtime beside the same model in PyTorch, batch 1, one thread, interleaved.

    python benchmarks/step.py [--bundle default] [--run RUN]

PyTorch is timed only with --run, the run folder of `enrapt train`.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from enrapt.bundle.bundle import Bundle
from enrapt.realtime.engine.engine import Engine

BLOCKS, STEPS = 40, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--run", type=Path)
    args = parser.parse_args()
    bundle = Bundle.load(args.bundle)
    engine = Engine(bundle)
    rng = np.random.default_rng(0)
    values = {m.name: rng.normal(size=m.dim).astype(np.float32) for m in bundle.metadata.inputs}
    graph, binding = engine._session, engine._bindings[0]
    steps = {
        "engine.step": lambda: engine.step(values),
        "  of it ONNX Runtime": lambda: graph.run_with_iobinding(binding),
    }
    if args.run is not None:
        import torch

        from enrapt.models import load

        torch.set_num_threads(1)
        model = load(args.run)
        batch = model.batch({k: torch.from_numpy(v)[None, None] for k, v in values.items()})
        state = model.initial_state(1)

        @torch.inference_mode()
        def eager() -> None:
            model.filter(batch, state)

        steps["PyTorch, eager"] = eager
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(BLOCKS):
        for name, step in steps.items():
            for _ in range(STEPS if "PyTorch" not in name else STEPS // 10):
                began = time.perf_counter()
                step()
                times[name].append(1e6 * (time.perf_counter() - began))
    for name, taken in times.items():
        p5, p50, p95 = np.percentile(taken, [5, 50, 95])
        ratio = p50 / np.median(times["engine.step"])
        print(f"{name:22s} median {p50:7.1f} µs  (5–95 %: {p5:.1f}–{p95:.1f})  {ratio:5.2f} × engine.step")


if __name__ == "__main__":
    main()
