"""`enrapt distil`: a trained MDVAE, which looks ahead, becomes a forward filter, which can run live."""

import argparse
from pathlib import Path

from ..contracts.errors import UserError
from .train import add_training, require_training, train, use_threads


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "distil",
        help="make a live model of a trained MDVAE (needs enrapt[train])",
        description="Trains a forward filter to tell at once what an MDVAE tells when it has seen what comes "
        "after. A run that was stopped goes on where it was when the same command is given again.",
    )
    parser.add_argument(
        "run_folder", metavar="RUN", type=Path, help="the folder of `enrapt train` of an MDVAE"
    )
    add_training(parser)
    parser.add_argument("--hidden", type=int, default=128, help="size of the recurrence (%(default)s)")
    parser.add_argument(
        "--lag", metavar="TICKS", type=int, default=0, help="tell of so many ticks before (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=240, help="of training (%(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    require_training()
    import msgspec

    from ..models.forward_filter import ForwardFilterConfig
    from ..models.mdvae import MDVAE
    from ..models.training import Trainer, load_model

    use_threads(args.threads)
    config, smoother = load_model(args.run_folder)
    if not isinstance(smoother, MDVAE):
        raise UserError(f"{args.run_folder}: no MDVAE, so it needs no forward filter; export it as it is")
    try:
        model = ForwardFilterConfig(smoother.config, args.hidden, args.lag)
        training = msgspec.structs.replace(config.training, rounds=args.rounds)
    except ValueError as error:
        raise UserError(str(error)) from None
    config = msgspec.structs.replace(config, model=model, training=training)
    train(Trainer(config, args.seed, args.output, smoother))
    return 0
