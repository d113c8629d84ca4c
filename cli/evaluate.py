"""Scores a trained model on held-out people, by pattern of missing modalities.

Patterns: everything present, each modality alone, and bursts of missing data. Of a number in recorded
sessions, simple baselines stand beside the model, one of which is trained the first time, and the agreement
of the raters; --report writes a page with all scores, figures and the model card.
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
    from ..export.assessment import Raters
    from ..models.by_person import ByPerson
    from ..models.causal import Causal
    from ..models.config import Config

Scores = dict[str, dict[str, float]]  # by pattern
SHOWN = {"ccc": "CCC", "rmse": "RMSE", "coverage90": "coverage of 90 %"}
AGREEMENT = {
    "pairs": "mean CCC of pairs",
    "icc_single": "ICC(2,1)",
    "icc_average": "ICC(2,k)",
    "alpha": "alpha",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_folder", metavar="RUN", type=Path, help="output folder of `enrapt train`")
    add(
        "--people",
        choices=("validation", "test"),
        default="test",
        help="use validation to select a model, test to report its scores (%(default)s)",
    )
    add(
        "--by",
        choices=("person", "time"),
        help="scores of each person, and within and between sessions; or by time since a session's start",
    )
    add("--report", metavar="FILE.html", type=Path, help="write a page with scores, figures and model card")
    add("--figures", metavar="FOLDER", type=Path, help="write the page's figures as PDF and SVG")
    add("--no-baselines", action="store_true", help="score the model alone")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..export.assessment import read_raters
    from ..models.baselines import applicable
    from ..models.evaluation import evaluate_run
    from ..models.run_folder import load_run, run_seed

    config, model = load_run(args.run_folder)
    numeric = applicable(model, config)
    if (args.by or args.report or args.figures) and not numeric:
        raise UserError(
            "--by, --report and --figures are for one number in recorded sessions, predicted causally"
        )
    if args.report and args.report.suffix != ".html":
        raise UserError(f"{args.report}: name a file that ends in .html")
    if args.by:
        return _print_by(args, model, config)  # type: ignore[arg-type]
    seed = run_seed(args.run_folder)
    results = finite(evaluate_run(model, config, seed, args.people))
    baselines = {}
    if not args.no_baselines and numeric:
        baselines = _baselines(model, config, seed, args)
    if args.report or args.figures:
        _write(args, model, config, {"model": results} | baselines)  # type: ignore[arg-type]
        if not args.json:
            print()
    raters = read_raters(Path(config.training.data), args.people) if numeric else None
    if args.json:
        others = {"raters": raters.others | raters.agreement} if raters else {}
        found = results | ({"baselines": baselines} if baselines else {}) | finite(others)
        print(json.dumps(found, indent=2))
        return 0
    print(*table(results), sep="\n")
    if baselines:
        print(*comparison({"model": results} | baselines), sep="\n")
    if raters:
        print("", *rater_lines(raters), sep="\n")
    return 0


def _print_by(args: argparse.Namespace, model: "Causal", config: "Config") -> int:
    """Scores of recorded sessions by person, or by time."""
    from ..models.by_person import predicted_sessions, score_by_person, score_over_time

    sessions, (target,) = predicted_sessions(model, config, args.people), model.targets
    if args.by == "time":
        times = score_over_time(sessions, target.likelihood, config.rate)
        lines = [json.dumps(times, indent=2)] if args.json else score_table("min:s", times)
    else:
        found = score_by_person(sessions, target.likelihood)
        lines = [json.dumps(found._asdict(), indent=2)] if args.json else person_table(found)
    print(*lines, sep="\n")
    return 0


def _write(args: argparse.Namespace, model: "Causal", config: "Config", scores: dict[str, Scores]) -> None:
    """The report and its figures."""
    from ..export.assessment import assess
    from ..export.figures import write_figures
    from ..export.report import write_report
    from ..models.run_folder import run_versions

    found = assess(model, config, args.people, scores)
    if args.figures:
        for path in write_figures(found, args.figures):
            say(f"enrapt: {path}")
    if args.report:
        versions = run_versions(args.run_folder)
        write_report(found, args.report, ", ".join(f"{name} {version}" for name, version in versions.items()))
        say(f"enrapt: {args.report}: open it in a browser")


def _baselines(model: object, config: object, seed: int, args: argparse.Namespace) -> dict[str, Scores]:
    from rich.progress import Progress

    from ..models import training
    from ..models.baselines import GRU, baseline_scores
    from .styled import StyledConsole

    if not (args.run_folder / GRU / "model.safetensors").is_file():
        say(f"enrapt: training a GRU to compare with, once; it is kept in {args.run_folder / GRU}")
    with Progress(console=StyledConsole(sys.stderr), disable=not sys.stderr.isatty()) as bar:
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
    return [
        *score_table("person", found.people),
        f"within sessions: CCC {found.within:.3f} of changes around each session's mean",
        f"between sessions: CCC {found.between:.3f} of the sessions' means",
    ]


def score_table(first: str, rows: Scores) -> list[str]:
    """A line for each row, with its numbers of sessions and labels as far as it has them."""
    counts = [name for name in ("sessions", "labels") if all(name in scores for scores in rows.values())]
    names = [*counts, "ccc", "rmse", "coverage90"]
    width = max(len(first), *map(len, rows))
    lines = [f"{first:{width}s} " + " ".join(f"{name:>10s}" for name in names)]
    for row, scores in rows.items():
        figures = " ".join(f"{scores[n]:10.0f}" if n in counts else f"{scores[n]:10.3f}" for n in names)
        lines.append(f"{row:{width}s} {figures}")
    return lines


def rater_lines(raters: "Raters") -> list[str]:
    """How far the raters agree on the same people, beside which the model's CCC stands."""
    others = ", ".join(f"{name} {_shown(value)}" for name, value in raters.others.items())
    coefficients = ", ".join(f"{name} {_shown(raters.agreement[key])}"
                             for key, name in AGREEMENT.items() if key in raters.agreement)  # fmt: skip
    return [f"raters, CCC of each with the mean of the others: {others}", f"all raters: {coefficients}"]


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
