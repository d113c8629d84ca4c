"""Writes the bundle of a trained model: its graph, a description and its scores on held-out people.

The file is kept only if ONNX Runtime agrees with PyTorch.
"""

import argparse
import sys
from pathlib import Path

from .train import require_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folder", metavar="RUN", type=Path, help="run folder of `enrapt train` or `enrapt distil`")
    add("-o", "--output", metavar="BUNDLE", type=Path, required=True, help="a .onnx file")
    add(
        "--graph",
        choices=("step", "full", "block"),
        default="step",
        help="one tick per call; the same with reconstructions; many ticks per call (%(default)s)",
    )
    add(
        "--int8",
        action="store_true",
        help="weights in 8 bits: a quarter of the size, slightly different estimates",
    )


def run(args: argparse.Namespace) -> int:
    require_training()
    from rich.progress import Progress

    from ..export.write import export_run
    from .styled import StyledConsole

    with Progress(console=StyledConsole(sys.stderr), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading the run", total=1)

        def show(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        worst = export_run(args.run_folder, args.output, args.graph, args.int8, progress=show)
    size = args.output.stat().st_size / 1e6
    parity = "8-bit weights" if worst is None else f"differs from PyTorch by at most {worst:.0e}"
    print(f"{args.output}: {size:.2f} MB; {parity}")
    return 0
