"""`enrapt inspect`: what a bundle says of itself."""

import argparse
import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bundle.metadata import Metadata


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "inspect",
        help="what a bundle says of itself",
        description="Prints the model card that a bundle carries: what it takes, what it was trained on, "
        "how good it is, how fast it is here, and what it is not for.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle's file, or a shipped one's name: default")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import msgspec

    from ..bundle.bundle import Bundle
    from ..bundle.sequence import seconds_per_tick

    bundle = Bundle.load(args.bundle)
    size, tick = bundle.path.stat().st_size, seconds_per_tick(bundle)
    if args.json:
        told = msgspec.to_builtins(bundle.metadata) | {"bytes": size, "tick_us": round(tick * 1e6, 1)}
        print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        print("\n".join(_card(bundle.metadata, size, tick)))
    return 0


def _card(bundle: "Metadata", size: int, tick: float) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, 100)

    def say(name: str, text: str) -> str:
        return textwrap.fill(text, width, initial_indent=f"{name:<14}", subsequent_indent=" " * 14)

    yield f"{bundle.name} {bundle.version}"
    yield ""
    yield say("model", f"{bundle.model}: {', '.join(f'{k} {v}' for k, v in bundle.config.items())}")
    yield say("file", f"{size / 1e6:.2f} MB, graph: {bundle.graph}")
    yield say("speed", f"{tick * 1e6:.0f} µs a tick on this machine, one stream, one thread")
    yield say("ticks", f"{bundle.rate} a second, {f'{bundle.lag} ticks late' if bundle.lag else 'causal'}")
    yield say("state", ", ".join(f"{s.name} {list(s.shape)}" for s in bundle.states) or "none")
    yield say("z", ", ".join(f"{latent.name} {latent.dim}" for latent in bundle.latents))
    for modality in bundle.modalities:
        schema = f", {modality.schema}" if modality.schema else ""
        yield say(modality.role, f"{modality.name}: {modality.dim} numbers{schema}, {modality.likelihood}")
    data = bundle.training_data
    yield say("trained on", f"{data.name}, {data.ticks:,} ticks, seed {data.seed}. {data.description}")
    yield say("limits", data.limits)
    yield say("licence", bundle.licence)
    yield say("sha256", bundle.sha256)
    yield ""
    yield "measured"
    for pattern, figures in bundle.quality.items():
        yield say(f"  {pattern}", ", ".join(f"{name} {x:.3g}" for name, x in figures.items()))
