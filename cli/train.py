"""Trains a model, on a study of your own or by a configuration. Repeat the command to resume an interrupted
run; it ends in the same weights."""

import argparse
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.console import say
from ..contracts.errors import UserError
from .study import duration
from .train_study import is_study, study_run

if TYPE_CHECKING:
    from ..models.training import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        metavar="STUDY|CONFIG",
        help="the folder of a study; or a .toml file, or a preset: default, mdvae",
    )
    add_training(parser)
    add = parser.add_argument_group("of a study").add_argument
    add("--dimension", metavar="NAME", help="what to learn (the study's only one)")
    add("--model", choices=("recent_vrnn", "mm_vrnn", "mdvae"), help="(recent_vrnn)")
    add("--from", dest="first", metavar="BUNDLE", help="start from a bundle's weights, such as default")
    add("--config", dest="overrides", metavar="FILE.toml", type=Path, help="keys of [model] and [training]")
    add("--test-people", metavar="A,B", help="who is tested on (a fifth, by the seed)")
    add("--rate", type=whole(1, 1000), metavar="N", help="ticks per second (25)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Options of every training."""
    add = parser.add_argument
    add("-o", "--output", metavar="FOLDER", type=Path, required=True, help="run folder")
    add("--seed", type=whole(0, 10**15), default=0, metavar="N", help="random seed (%(default)s)")
    add(
        "--threads",
        type=whole(1, 1024),
        default=2,
        metavar="N",
        help="PyTorch threads; their number affects rounding (%(default)s)",
    )


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number in that range."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text}: give a whole number from {least} to {most}")

    return parse


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..models.config import load_config
    from ..models.training import Trainer

    use_threads(args.threads)
    if is_study(args.config):
        args.rate = args.rate or 25
        args.test_people = [name.strip() for name in (args.test_people or "").split(",") if name.strip()]
        config = study_run(args)
    else:
        for name in ("dimension", "model", "first", "overrides", "test_people", "rate"):
            if getattr(args, name) is not None:
                option = {"overrides": "config", "first": "from"}.get(name, name.replace("_", "-"))
                raise UserError(f"--{option} is for a study, and {args.config} has no study.toml")
        config = load_config(args.config)
    train(Trainer(config, args.seed, args.output))
    return 0


def use_threads(threads: int) -> None:
    """Configure PyTorch for that many threads: the same seed and number give the same weights."""
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def train(trainer: "Trainer") -> None:
    """Train to the end with a progress bar and TensorBoard logs."""
    from rich.progress import MofNCompleteColumn
    from rich.progress import Progress as Bar
    from torch.utils.tensorboard.writer import SummaryWriter

    from ..models.mdvae import MDVAE
    from ..models.training import Progress
    from .styled import StyledConsole

    for note in trainer.config.notes:
        say(f"enrapt: {note}")
    console, folder = StyledConsole(sys.stderr), trainer.folder
    assert folder is not None
    # Hides what an interrupted run logged of rounds that are repeated.
    board = SummaryWriter(str(folder / "tensorboard"), purge_step=trainer.round + 1)
    with board, Bar(*Bar.get_default_columns(), MofNCompleteColumn(), console=console) as bar:
        task = bar.add_task("training", total=trainer.config.training.rounds, completed=trainer.round)

        start, first = time.monotonic(), trainer.round

        def show(progress: Progress) -> None:
            description = f"loss {progress.metrics['loss']:.1f}, nats: " + ", ".join(
                f"{name.removeprefix('nll_')} {nats:.2f}"
                for name, nats in progress.metrics.items()
                if name not in ("loss", "kl", "beta", "skipped", "validation")
            )
            bar.update(task, completed=progress.round, description=description)
            for name, value in progress.metrics.items():
                board.add_scalar(name, value, progress.round)
            if not console.is_terminal:
                left = (time.monotonic() - start) / (progress.round - first)
                left *= progress.rounds - progress.round
                done = f"round {progress.round} of {progress.rounds}, at most {duration(left)} left"
                console.print(f"{done}: {description}", soft_wrap=True)

        trainer.run(show)
    if trainer.stopped():
        print(f"stopped early after round {trainer.round}: the validation loss no longer improves")
    for name, factor in trainer.widening.items():
        print(f"{name}: 90 % interval {factor:.2f} times as wide, to hold 90 % of new people's labels")
    distil = isinstance(trainer.model, MDVAE)
    following = f"distil {folder} -o FOLDER" if distil else f"export {folder} -o BUNDLE.onnx"
    print(f"{folder}: trained; next: enrapt {following}")


def require_training() -> None:
    """Raise UserError, which names them, if packages of `enrapt[train]` are not installed."""
    needed = ("torch", "onnx", "onnxscript", "safetensors", "scipy", "tensorboard")
    if missing := [name for name in needed if not find_spec(name)]:
        raise UserError(f"{', '.join(missing)} not installed: pip install 'enrapt[train]'")
