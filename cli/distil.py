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
    add("--rounds", type=whole(1, 1_000_000), default=240, metavar="N", help="training rounds (%(default)s)")


def run(args: argparse.Namespace) -> int:
    require_training()
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
    model = ForwardFilter(smoother, args.hidden)
    # The smoother's `initial` was the beginning of the smoother.
    training = msgspec.structs.replace(config.training, rounds=args.rounds, initial=None)
    config = msgspec.structs.replace(config, model=model.config, training=training)
    train(Trainer(config, args.seed, args.output, model))
    return 0
