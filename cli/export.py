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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .train import require_training

    require_training()
    from ..export.write import export_run

    worst = export_run(args.run_folder, args.output, args.graph)
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {size:.2f} MB; differs from PyTorch by at most {worst:.0e}")
    return 0
