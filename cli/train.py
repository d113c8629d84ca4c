"""`enrapt train`: a configuration becomes a trained model."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..models.training import Trainer


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model (needs enrapt[train])",
        description="Trains a model. A run that was stopped goes on where it was when the same command is "
        "given again, and ends in the same weights.",
    )
    parser.add_argument("config", metavar="CONFIG", help="a .toml file, or a preset's name (default, mdvae)")
    add_training(parser)
    parser.set_defaults(run=run)


def add_training(parser: argparse.ArgumentParser) -> None:
    """What every training is told."""
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True, help="of the run")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same weights (%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=2, help="of PyTorch; another number, other roundings (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..models.config import load_config
    from ..models.training import Trainer

    use_threads(args.threads)
    train(Trainer(load_config(args.config), args.seed, args.output))
    return 0


def use_threads(threads: int) -> None:
    """Set PyTorch up so that the same seed and number of threads give the same weights."""
    import torch

    if threads < 1:
        raise UserError(f"--threads {threads}: give 1 or more")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def train(trainer: "Trainer") -> None:
    """Train to the end, and say on the way how it goes."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from torch.utils.tensorboard.writer import SummaryWriter

    from ..models.mdvae import MDVAE
    from ..models.training import Progress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console, folder = Console(file=sys.stderr), trainer.folder
    # What an interrupted run wrote of rounds that are done again is hidden.
    board = SummaryWriter(str(folder / "tensorboard"), purge_step=trainer.round + 1)
    with board, Bar(*columns, console=console) as bar:
        task = bar.add_task("training", total=trainer.config.training.rounds, completed=trainer.round)

        def show(progress: Progress) -> None:
            said = f"loss {progress.metrics['loss']:.1f}, nats: " + ", ".join(
                f"{name.removeprefix('nll_')} {nats:.2f}"
                for name, nats in progress.metrics.items()
                if name not in ("loss", "kl", "beta", "skipped", "validation")
            )
            bar.update(task, completed=progress.round, description=said)
            for name, value in progress.metrics.items():
                board.add_scalar(name, value, progress.round)
            if not console.is_terminal:
                console.print(f"round {progress.round} of {progress.rounds}: {said}")

        trainer.run(show)
    if trainer.stopped():
        print(f"stopped after round {trainer.round}: the loss on validation people no longer falls")
    following = (
        f"enrapt distil {folder} -o FOLDER"
        if isinstance(trainer.model, MDVAE)
        else f"enrapt export {folder} -o BUNDLE.onnx"
    )
    print(f"{folder}: trained; next: {following}")


def require_training() -> None:
    """Raise unless what `enrapt[train]` brings is there."""
    missing = [
        name
        for name in ("torch", "onnx", "onnxscript", "safetensors", "scipy", "tensorboard")
        if not find_spec(name)
    ]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed: pip install 'enrapt[train]'")
