"""Time of a tick: the step graph beside the block graph, PyTorch, and batches of streams.

    python benchmarks/graphs.py [--rounds N] [--save FOLDER] [--beside FOLDER]

MM-VRNN with three modalities (face 57, audio 44, context 8) and the forward filter of an MDVAE with three,
weights as drawn from seed 0, one thread each, interleaved; µs per tick and stream, median (5–95 %). A step
runs as the engine runs it, on buffers bound in ONNX Runtime; beside it the plain `session.run`, which takes a
dictionary and allocates its outputs. Times are the thread's processor time, so that other load on the machine
counts little.

`--save` writes MM-VRNN's step graphs as `HIDDEN-LATENT.onnx`. `--beside` takes such files, of another version
of the exporter, and interleaves them with this version's at batch 1 and 128, once their outputs agree.
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
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models import MDVAE, MMVRNN, ForwardFilter, Modality
from enrapt.models.causal import Causal
from enrapt.models.config import load_config
from enrapt.realtime.engine.engine import Engine

torch.set_num_threads(1)
TICKS = 200  # of a block
MODALITIES = (
    Modality("face", 57),
    Modality("audio", 44),
    Modality("context", 8, role="context"),
    Modality("engagement", 1, role="target", likelihood="logit_normal"),
)


def bundle_of(model: Causal, kind: str, folder: Path) -> Bundle:
    graph, path = graph_of(model, kind), folder / f"{kind}.onnx"
    path.write_bytes(with_metadata(graph, describe(load_config("default"), model, kind, 0, digest(graph))))
    return Bundle.load(path)


def feed(bundle: Bundle, *shape: int) -> dict[str, np.ndarray]:
    """Random inputs of a graph, everything present; `shape` is that of the axes before the last."""
    rng, inputs = np.random.default_rng(0), bundle.metadata.inputs
    x = {m.name: rng.standard_normal((*shape, m.dim), np.float32) for m in inputs}
    return x | {"mask": np.ones((*shape, len(inputs)), np.float32)} | initial_states(bundle, shape[0])


Kinds = dict[str, tuple[Callable[[], object], int, int]]  # by name: call, calls per turn, ticks per call


def race(kinds: Kinds, rounds: int) -> None:
    """Interleave, and print the time of each; the ratio is to the first, within a turn."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (call, calls, per_call) in kinds.items():
            start = time.thread_time()
            for _ in range(calls):
                call()
            taken[name].append((time.thread_time() - start) / calls / per_call * 1e6)
    (first, *_) = taken.values()
    for name, values in taken.items():
        ordered = sorted(values)
        low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
        ratio = statistics.median(v / f for f, v in zip(first, values, strict=True))
        print(
            f"  {name:26s} {statistics.median(values):7.1f} ({low:.1f}–{high:.1f})   {ratio:5.2f} × the first"
        )


def bound(engine: Engine) -> Callable[[], object]:
    """The engine's graph on its own buffers, without the copies into and out of them."""
    return lambda: engine._session.run_with_iobinding(engine._bindings[0])


def graphs(model: Causal) -> Kinds:
    """The graphs of a model, and the model itself."""
    with tempfile.TemporaryDirectory() as folder:
        step, block = (bundle_of(model, kind, Path(folder)) for kind in ("step", "block"))
    one, many, ticks = feed(step, 1), feed(step, 128), feed(block, 1, TICKS)
    inputs = [m.name for m in step.metadata.inputs]
    batch = model.batch({name: torch.from_numpy(one[name])[:, None] for name in inputs})

    def eager() -> None:
        with torch.no_grad():
            model.filter(batch)

    engine, engines = Engine(step), Engine(step, streams=128)
    engine.step({name: one[name][0] for name in inputs})
    engines.step_streams([{name: many[name][i] for name in inputs} for i in range(128)])
    kinds: Kinds = {
        "step": (bound(engine), 20, 1),
        "step, plain run": (lambda: step.session.run(None, one), 20, 1),
        "PyTorch, eager": (eager, 5, 1),
        "block": (lambda: block.session.run(None, ticks), 1, TICKS),
        "step, 128 streams": (bound(engines), 2, 128),
    }
    return kinds


def versions(model: MMVRNN, other: Bundle) -> Kinds:
    """This exporter's step graph of a model and another version's, for one stream and for 128."""
    with tempfile.TemporaryDirectory() as folder:
        ours = bundle_of(model, "step", Path(folder))
    kinds: Kinds = {}
    for streams in (1, 128):
        values = feed(ours, streams)
        for name in (o.name for o in ours.session.get_outputs()):
            found, expected = (b.session.run([name], values)[0] for b in (ours, other))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)
        for name, bundle in (("other version", other), ("this version", ours)):
            engine = Engine(bundle, streams=streams)
            engine.step_streams([{m: values[m][i] for m in engine.inputs} for i in range(streams)])
            kinds[f"{name}, {streams} streams"] = (bound(engine), 20 if streams == 1 else 2, streams)
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write step graphs, and stop")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="compare with the step graphs there")
    args = parser.parse_args()
    print("µs per tick and stream")
    for hidden, latent in ((64, 16), (128, 32)):
        torch.manual_seed(0)
        model = MMVRNN(MODALITIES, hidden=hidden, latent=latent).eval()
        if args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            bundle_of(model, "step", args.save).path.rename(args.save / f"{hidden}-{latent}.onnx")
            continue
        print(f"MM-VRNN, hidden {hidden}, latent {latent}")
        if args.beside:
            kinds = versions(model, Bundle.load(args.beside / f"{hidden}-{latent}.onnx"))
            for streams in (1, 128):
                race({k: v for k, v in kinds.items() if k.endswith(f", {streams} streams")}, args.rounds)
        else:
            race(graphs(model), args.rounds)
    if args.save or args.beside:
        return
    torch.manual_seed(0)
    modalities = tuple(m if m.role == "target" else Modality(m.name, m.dim) for m in MODALITIES)
    sizes = msgspec.structs.replace(load_config("mdvae").model, modalities=modalities)
    print(f"forward filter of an MDVAE, hidden 128 and {sizes.hidden}")
    race(graphs(ForwardFilter(MDVAE(sizes), hidden=128).eval()), args.rounds)


if __name__ == "__main__":
    main()
