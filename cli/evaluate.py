"""Scores a trained model on held-out people, by pattern of missing modalities.

Patterns: everything present, each modality alone, and bursts of missing data.
"""

import argparse
import json
import math
from pathlib import Path

from .train import require_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folder", metavar="RUN", type=Path, help="output folder of `enrapt train`")
    add(
        "--people",
        choices=("validation", "test"),
        default="test",
        help="use validation to select a model, test to report its scores (%(default)s)",
    )
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..models.evaluation import evaluate
    from ..models.run_folder import load_run, run_seed

    config, model = load_run(args.run_folder)
    scores = evaluate(model, config, run_seed(args.run_folder), args.people)
    # A score that is not finite, as the AUC of a constant target, is left out.
    results = {
        pattern: {name: x for name, x in found.items() if math.isfinite(x)}
        for pattern, found in scores.items()
    }
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        print(*table(results), sep="\n")
    return 0


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """One line per pattern, one column per score; scores of a single pattern below."""
    first, *others = results.values()
    columns = [name for name in first if all(name in scores for scores in others)]
    width = max(len("pattern"), *map(len, results))
    lines = [f"{'pattern':{width}s} " + " ".join(f"{name:>10s}" for name in columns)]
    for pattern, scores in results.items():
        figures = " ".join(f"{scores[name]:{max(10, len(name))}.3f}" for name in columns)
        lines.append(f"{pattern:{width}s} {figures}")
    lines += [f"{name} {value:.3f}" for name, value in first.items() if name not in columns]
    return lines
