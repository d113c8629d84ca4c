"""8-bit weights beside float32: file size, time of a step, scores on held-out simulated people.

    python benchmarks/quantise.py RUN [--rounds N]

RUN is a run folder of `enrapt train` or `enrapt distil`. Both bundles are exported here and timed
interleaved, one thread each.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.bundle.sequence import initial_states
from enrapt.export.layout import exportable
from enrapt.export.quality import measure
from enrapt.export.quantise import quantised
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models.run_folder import load_run, run_seed

STEPS = 20  # per timing


def seconds_per_step(bundle: Bundle, feed: dict[str, np.ndarray]) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        bundle.session.run(None, feed)
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    config, model = load_run(args.run)
    model = exportable(model, str(args.run))
    seed = run_seed(args.run)
    graph = graph_of(model, "step")
    bundles = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("float32", graph), ("int8", quantised(graph))):
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(with_metadata(content, describe(config, model, "step", seed, digest(content))))
            bundles[name] = Bundle.load(path)
            print(f"{name:8s} {path.stat().st_size / 1e6:.2f} MB")

    rng = np.random.default_rng(0)
    for batch in (1, 128):
        inputs = bundles["float32"].metadata.inputs
        feed = {m.name: rng.standard_normal((batch, m.dim), np.float32) for m in inputs}
        feed |= initial_states(bundles["float32"], batch) | {
            "mask": np.ones((batch, len(inputs)), np.float32)
        }
        taken = [{k: seconds_per_step(b, feed) for k, b in bundles.items()} for _ in range(args.rounds)]
        ratios = sorted(t["float32"] / t["int8"] for t in taken)
        medians = {k: statistics.median(t[k] for t in taken) * 1e6 / batch for k in bundles}
        low, high = ratios[len(ratios) // 20], ratios[-1 - len(ratios) // 20]
        print(
            f"batch {batch:3d}: float32 {medians['float32']:.1f} µs per stream, int8 {medians['int8']:.1f}; "
            f"int8 is {statistics.median(ratios):.2f} × as fast (5–95 %: {low:.2f}–{high:.2f})"
        )

    scores = {name: measure(bundle, config, seed) for name, bundle in bundles.items()}
    print(f"{'':12s} {'CCC':>8s} {'':8s} {'90 % interval':>17s}")
    print(f"{'pattern':12s} {'float32':>8s} {'int8':>8s} {'float32':>8s} {'int8':>8s}")
    for pattern, whole in scores["float32"].items():
        small = scores["int8"][pattern]
        print(
            f"{pattern:12s} {whole['ccc']:8.4f} {small['ccc']:8.4f} "
            f"{whole['coverage90']:8.3f} {small['coverage90']:8.3f}"
        )


if __name__ == "__main__":
    main()
