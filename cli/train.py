"""`enrapt train`: a configuration becomes a trained model."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from ..contracts.errors import UserError


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model (needs enrapt[train])",
        description="Trains a model. A run that was stopped goes on where it was when the same command is "
        "given again, and ends in the same weights.",
    )
    parser.add_argument("config", metavar="CONFIG", help="a .toml file, or a preset's name (default)")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="of the run")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same weights (%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=2, help="of PyTorch; another number, other roundings (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    require_training()
    import torch
    from torch.utils.tensorboard.writer import SummaryWriter

    from ..models.config import load_config
    from ..models.training import Progress, Trainer

    if args.threads < 1:
        raise UserError(f"--threads {args.threads}: give 1 or more")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    trainer = Trainer(load_config(args.config), args.seed, args.output)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    # What an interrupted run wrote of rounds that are done again is hidden.
    board = SummaryWriter(str(args.output / "tensorboard"), purge_step=trainer.round + 1)
    with board, Bar(*columns, console=console) as bar:
        task = bar.add_task("training", total=trainer.config.training.rounds, completed=trainer.round)

        def show(progress: Progress) -> None:
            costs = {k[4:]: v for k, v in progress.metrics.items() if k.startswith("nll_")}
            said = f"loss {progress.metrics['loss']:.1f}, nats: " + ", ".join(
                f"{name} {nats:.2f}" for name, nats in costs.items()
            )
            bar.update(task, completed=progress.round, description=said)
            for name, value in progress.metrics.items():
                board.add_scalar(name, value, progress.round)
            if not console.is_terminal:
                console.print(f"round {progress.round} of {progress.rounds}: {said}")

        trainer.run(show)
    if trainer.stopped():
        print(f"stopped after round {trainer.round}: the loss on validation people no longer falls")
    print(f"{args.output}: trained; next: enrapt export {args.output} -o BUNDLE.onnx")
    return 0


def require_training() -> None:
    """Raise unless what `enrapt[train]` brings is there."""
    missing = [
        name
        for name in ("torch", "onnx", "onnxscript", "safetensors", "scipy", "tensorboard")
        if not find_spec(name)
    ]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed: pip install 'enrapt[train]'")
