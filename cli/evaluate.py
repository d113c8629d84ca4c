"""Scores a trained model on held-out people, by pattern of missing modalities.

Patterns: everything present, each modality alone, and bursts of missing data. Of a number in recorded
sessions, simple baselines stand beside the model; the first time, one of them is trained.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.console import say
from ..contracts.errors import UserError
from .train import require_training

if TYPE_CHECKING:
    from ..models.by_person import ByPerson

Scores = dict[str, dict[str, float]]  # by pattern
SHOWN = {"ccc": "CCC", "rmse": "RMSE", "coverage90": "coverage of 90 %"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folder", metavar="RUN", type=Path, help="output folder of `enrapt train`")
    add(
        "--people",
        choices=("validation", "test"),
        default="test",
        help="use validation to select a model, test to report its scores (%(default)s)",
    )
    add("--by", choices=("person",), help="scores of each person, and within and between sessions")
    add("--no-baselines", action="store_true", help="score the model alone")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..models.baselines import applicable
    from ..models.by_person import score_by_person
    from ..models.evaluation import evaluate_run
    from ..models.run_folder import load_run, run_seed

    config, model = load_run(args.run_folder)
    if args.by:
        if not applicable(model, config):
            raise UserError("--by person is for one number in recorded sessions, predicted causally")
        found = score_by_person(model, config, args.people)  # type: ignore[arg-type]
        print(*([json.dumps(found._asdict(), indent=2)] if args.json else person_table(found)), sep="\n")
        return 0
    seed = run_seed(args.run_folder)
    results = finite(evaluate_run(model, config, seed, args.people))
    baselines = {}
    if not args.no_baselines and applicable(model, config):
        baselines = _baselines(model, config, seed, args)
    if args.json:
        print(json.dumps(results | ({"baselines": baselines} if baselines else {}), indent=2))
        return 0
    print(*table(results), sep="\n")
    if baselines:
        print(*comparison({"model": results} | baselines), sep="\n")
    return 0


def _baselines(model: object, config: object, seed: int, args: argparse.Namespace) -> dict[str, Scores]:
    from rich.console import Console
    from rich.progress import Progress

    from ..models import training
    from ..models.baselines import GRU, baseline_scores

    if not (args.run_folder / GRU / "model.safetensors").is_file():
        say(f"enrapt: training a GRU to compare with, once; it is kept in {args.run_folder / GRU}")
    with Progress(console=Console(file=sys.stderr), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("GRU", total=None)

        def show(done: training.Progress) -> None:
            bar.update(task, completed=done.round, total=done.rounds)

        found = baseline_scores(model, config, seed, args.run_folder, args.people, show)  # type: ignore[arg-type]
    return {name: finite(scores) for name, scores in found.items()}


def finite(scores: Scores) -> Scores:
    """Without scores that are not finite, as the AUC of a constant target."""
    return {
        pattern: {name: x for name, x in found.items() if math.isfinite(x)}
        for pattern, found in scores.items()
    }


def table(results: Scores) -> list[str]:
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


def comparison(results: dict[str, Scores]) -> list[str]:
    """A table for each score, a column for the model and each baseline; a line where a baseline wins."""
    lines = []
    patterns = list(results["model"])
    width = max(map(len, (*patterns, *SHOWN.values())))
    for score, title in SHOWN.items():
        lines += ["", f"{title:{width}s} " + " ".join(f"{name:>8s}" for name in results)]
        for pattern in patterns:
            values = [found[pattern].get(score, math.nan) for found in results.values()]
            figures = " ".join(f"{'–' if math.isnan(x) else f'{x:.3f}':>8s}" for x in values)
            lines.append(f"{pattern:{width}s} {figures}")
    better = [
        f"{name} with {pattern} ({found[pattern]['ccc']:.3f}, model {own:.3f})"
        for pattern in patterns
        for name, found in results.items()
        if found[pattern].get("ccc", -1) > (own := results["model"][pattern].get("ccc", -1))
    ]
    return lines + (["", f"warning: a baseline has a higher CCC: {', '.join(better)}"] if better else [])


def person_table(found: "ByPerson") -> list[str]:
    """A line per person, then within and between sessions."""
    names = ["sessions", "labels", "ccc", "rmse", "coverage90"]
    width = max(len("person"), *map(len, found.people))
    lines = [f"{'person':{width}s} " + " ".join(f"{name:>10s}" for name in names)]
    for person, scores in found.people.items():
        figures = " ".join(
            f"{scores[name]:10.0f}" if name in names[:2] else f"{scores[name]:10.3f}" for name in names
        )
        lines.append(f"{person:{width}s} {figures}")
    lines.append(f"within sessions: CCC {found.within:.3f} of changes around each session's mean")
    lines.append(f"between sessions: CCC {found.between:.3f} of the sessions' means")
    return lines
