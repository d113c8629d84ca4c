"""`enrapt evaluate`: how well a trained model does, for every pattern of missing modalities."""

import argparse
import json
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="how well a trained model does (needs enrapt[train])",
        description="Scores a trained model on held-out people: with everything present, with each modality "
        "alone, and under bursts of missing data.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="the folder of `enrapt train`")
    parser.add_argument(
        "--people",
        choices=("validation", "test"),
        default="test",
        help="validation to choose between models, test to report the one chosen (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .train import require_training

    require_training()
    from ..models.evaluation import TEST, VALIDATION, evaluate
    from ..models.training import load_model, run_seed

    config, model = load_model(args.run_folder)
    people = {"validation": VALIDATION, "test": TEST}[args.people]
    results = evaluate(model, config, run_seed(args.run_folder), people)
    if args.json:
        print(json.dumps(results, indent=2))
        return 0
    print("pattern          CCC   Pearson      RMSE   90 % interval holds")
    for pattern, r in results.items():
        held = f"{100 * r['coverage90']:.1f} %"
        print(f"{pattern:12s} {r['ccc']:7.3f} {r['pearson']:9.3f} {r['rmse']:9.3f} {held:>21s}")
    return 0
