"""`enrapt export`: a trained model becomes a bundle."""

import argparse
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "export",
        help="make a bundle of a trained model (needs enrapt[train])",
        description="Makes a bundle of a trained model: measures it on held-out people, writes its graph "
        "with a description, and keeps it only if ONNX Runtime gives what PyTorch gives.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="the folder of `enrapt train`")
    parser.add_argument("-o", "--output", metavar="BUNDLE", type=Path, required=True, help="a .onnx file")
    parser.add_argument(
        "--graph",
        choices=("step", "full", "block"),
        default="step",
        help="a tick a call; the same with every modality reconstructed; many ticks at once (%(default)s)",
    )
    parser.add_argument("--int8", action="store_true", help="weights in 8 bits: smaller, and another model")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .train import require_training

    require_training()
    from ..export.write import export_run

    worst = export_run(args.run_folder, args.output, args.graph, args.int8)
    size = args.output.stat().st_size / 1e6
    said = "8-bit weights" if worst is None else f"differs from PyTorch by at most {worst:.0e}"
    print(f"{args.output}: {size:.2f} MB; {said}")
    return 0
