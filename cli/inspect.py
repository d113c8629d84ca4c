"""Prints the model card of a bundle, or what is in a recording.

A bundle: inputs, training data, limits, measured quality, and its speed on this machine. A recording: its
tracks, streams or modalities with their times, and which of them a replay takes.
"""

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_limit_arguments, limits_of
from .recordings import is_recording

if TYPE_CHECKING:
    from ..bundle.metadata import Metadata


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "subject",
        metavar="BUNDLE|RECORDING",
        help="a bundle's file, or a shipped one: default, mdvae, turns; or what `enrapt replay` takes",
    )
    add("--bundle", metavar="B", default="default", help="of the replay of an XDF file (%(default)s)")
    add("--json", action="store_true", help="print JSON")
    add_limit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    import msgspec

    path = Path(args.subject)
    if path.is_dir() or (path.suffix != ".onnx" and is_recording(path)):
        from .inspect_recording import inspect_recording

        return inspect_recording(path, args.bundle, args.json, limits_of(args))
    from ..bundle.bundle import Bundle
    from ..bundle.sequence import seconds_per_tick

    bundle = Bundle.load(args.subject)
    size, tick = bundle.path.stat().st_size, seconds_per_tick(bundle)
    if args.json:
        description = msgspec.to_builtins(bundle.metadata) | {"bytes": size, "tick_us": round(tick * 1e6, 1)}
        print(msgspec.json.format(msgspec.json.encode(description), indent=2).decode())
    else:
        print("\n".join(_card(bundle.metadata, size, tick)))
    return 0


def _card(bundle: "Metadata", size: int, tick: float) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, 100)

    def row(name: str, text: str) -> str:
        return textwrap.fill(text, width, initial_indent=f"{name:<14}", subsequent_indent=" " * 14)

    yield f"{bundle.name} {bundle.version}"
    yield ""
    yield row("model", f"{bundle.model}: {', '.join(f'{k} {v}' for k, v in bundle.config.items())}")
    yield row("file", f"{size / 1e6:.2f} MB, graph: {bundle.graph}")
    yield row("speed", f"{tick * 1e6:.0f} µs per tick on this machine, one stream, one thread")
    yield row("ticks", f"{bundle.rate} per second, causal")
    yield row("state", ", ".join(f"{s.name} {list(s.shape)}" for s in bundle.states) or "none")
    yield row("z", ", ".join(f"{latent.name} {latent.dim}" for latent in bundle.latents))
    for modality in bundle.modalities:
        schema = f", {modality.schema}" if modality.schema else ""
        age = f", present for {modality.max_age_at(bundle.rate):g} s" if modality.role == "observed" else ""
        text = f"{modality.name}: {modality.dim} numbers{schema}, {modality.likelihood}{age}"
        yield row(modality.role, text)
    data = bundle.training_data
    ticks = f"{data.ticks:,} ticks, " if data.ticks else ""  # 0: not known
    yield row("trained on", f"{data.name}, {ticks}seed {data.seed}. {data.description}")
    if bundle.widening is not None:
        text = "90 % interval {:.2f} times as wide as trained, fitted on people not trained on, nor tested on"
        yield row("calibrated", text.format(bundle.widening))
    yield row("limits", data.limits)
    yield row("licence", bundle.licence)
    yield row("sha256", bundle.sha256)
    yield ""
    yield "measured" if bundle.quality else "not measured"
    for pattern, figures in bundle.quality.items():
        yield row(f"  {pattern}", ", ".join(f"{name} {x:.3g}" for name, x in figures.items()))
