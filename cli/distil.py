"""Trains a causal forward filter to match the posteriors of an MDVAE, which look ahead.

Repeat the command to resume an interrupted run.
"""

import argparse
from pathlib import Path

from ..contracts.errors import UserError
from .train import add_training, require_training, train, use_threads, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folder", metavar="RUN", type=Path, help="run folder of an MDVAE")
    add_training(parser)
    add(
        "--hidden",
        type=whole(1, 100_000),
        default=128,
        metavar="N",
        help="size of the recurrence (%(default)s)",
    )
    add(
        "--past",
        type=looks_back,
        default=(),
        metavar="S,…",
        help="the filter also sees means and spreads of the last seconds, such as 1,5,20,60 (none)",
    )
    add("--whiten", action="store_true", help="what it sees, for many people; with --past")
    add("--rounds", type=whole(1, 1_000_000), default=240, metavar="N", help="training rounds (%(default)s)")


def looks_back(text: str) -> tuple[float, ...]:
    """Seconds, of `1,5,20`."""
    try:
        seconds = tuple(float(part) for part in text.split(","))
    except ValueError:
        seconds = ()
    if not seconds or len(seconds) > 16 or not all(0 < one <= 1000 for one in seconds):
        raise argparse.ArgumentTypeError("expected up to 16 numbers of seconds, up to 1000, as 1,5,20")
    return seconds


def run(args: argparse.Namespace) -> int:
    require_training()
    if args.whiten and not args.past:
        raise UserError("--whiten needs --past, the seconds that the filter looks back")
    import msgspec
    import torch

    from ..models.forward_filter import ForwardFilter
    from ..models.mdvae import MDVAE
    from ..models.run_folder import load_run
    from ..models.training import Trainer

    use_threads(args.threads)
    config, smoother = load_run(args.run_folder)
    if not isinstance(smoother, MDVAE):
        raise UserError(f"{args.run_folder}: not an MDVAE, so it needs no forward filter; export it directly")
    torch.manual_seed(args.seed)  # of the first weights
    ticks = tuple(seconds * config.rate for seconds in args.past)
    model = ForwardFilter(smoother, args.hidden, ticks=ticks, whiten=args.whiten)
    # The smoother's `initial` was the beginning of the smoother.
    training = msgspec.structs.replace(config.training, rounds=args.rounds, initial=None)
    config = msgspec.structs.replace(config, model=model.config, training=training)
    train(Trainer(config, args.seed, args.output, model))
    return 0
