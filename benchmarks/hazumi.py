"""Enjoyment and interest in the topic of people who talk with an agent, with face or voice missing.

    python benchmarks/hazumi.py FOLDER --runs RUNS [--models ours gru …] [--folds 0 1 …]
        [--test-exchanges FILE --test-features FILE] [--seed 0]

FOLDER has Hazumi's exchanges.csv.gz and features.npz (`datasets/hazumi.py`). One step an exchange, everything
causal (`datasets/hazumi_steps.py`). A model predicts the answers of each of the five raters, whose mean is
the truth of the CCC. Whose raters answered is known to every model, as are clock and lengths; these are never
missing.

Six folds by person, from the seed; a fold's validation people are the next fold's test people. On validation
people: when to stop, ridge's penalty, and the factor by which a prediction is stretched about its mean. With
`--test-exchanges` another table of the same columns is the test set; the first fold validates, and all other
people train.

Predictions are kept in RUNS, a file for each model and fold, and not computed again, so a long benchmark may
be run in parts; after a change of the models, give another folder. Missing modalities: each alone, and bursts
of 4 exchanges on average, 8 between them.

  panel, clock, length    ridge on what its name says: whose raters, time, time and lengths of exchanges
  ridge                   on face, voice, their exponential means, and all of the above; one for each pattern
  boosting                gradient boosting on the same, by scikit-learn; one for each pattern
  gru                     one recurrent network for all patterns, trained on the answers alone
  mvae                    late fusion of single exchanges: an MVAE as of MultiVae, one for all patterns
  ours                    one MM-VRNN for all patterns
  five                    an ensemble of five of these, of other first weights
  ours face, ours voice, ours bursts      an MM-VRNN trained for that pattern alone
  … 30 %                  with the answers of 30 % of the training exchanges
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from datasets.hazumi import QUESTIONS, Session, load_hazumi
from datasets.hazumi_steps import Steps
from hazumi_models import MODELS, PATTERNS, Fold, Predicted

from enrapt.contracts.errors import UserError, one_line
from enrapt.models.metrics import concordance, pearson

FOLDS = 6
RESAMPLES = 1000


def folds(sessions: list[Session], seed: int) -> list[list[Session]]:
    """Sessions by fold, people drawn at random."""
    people = sorted({s.person for s in sessions})
    order = np.random.default_rng(seed).permutation(len(people))
    number = {people[i]: k % FOLDS for k, i in enumerate(order)}
    return [[s for s in sessions if number[s.person] == k] for k in range(FOLDS)]


def splits(
    sessions: list[Session], test: list[Session] | None, seed: int
) -> list[tuple[list[Session], list[Session], list[Session]]]:
    """Training, validation and test people of each fold."""
    parts = folds(sessions, seed)
    if test is not None:
        return [([s for part in parts[1:] for s in part], parts[0], test)]
    return [
        (
            [s for i, part in enumerate(parts) if i not in (k, (k + 1) % FOLDS) for s in part],
            parts[(k + 1) % FOLDS],
            parts[k],
        )
        for k in range(FOLDS)
    ]


def kept(path: Path, fold: Fold, name: str) -> dict[str, np.ndarray]:
    """Predictions of a model for a fold: read, or computed and kept."""
    if not path.is_file():
        began = time.perf_counter()
        found = MODELS[name](fold)
        arrays = {
            f"{part}/{pattern}/{question}/{field}": value
            for (part, pattern, question), prediction in found.items()
            for field, value in prediction._asdict().items()
        }
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, **arrays)
        temporary.replace(path)
        print(f"{path.stem}: {time.perf_counter() - began:.0f} s", flush=True)
    with np.load(path) as file:
        return dict(file)


def stretch(truth: np.ndarray, mean: np.ndarray) -> tuple[float, float, float]:
    """Two means and the factor that make the mean and variance of predictions those of the truth."""
    return float(truth.mean()), float(mean.mean()), float(truth.std() / max(mean.std(), 1e-9))


class Scored:
    """Predictions of one model under one pattern, of one question, over all folds."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, ...]] = []
        self.people: list[np.ndarray] = []

    def add(self, fold: Fold, found: dict[str, np.ndarray], pattern: str, question: str) -> None:
        """The test people of a fold."""
        (truth, known), (validation, valid) = fold.truth("test", question), fold.truth("validation", question)
        key = f"{pattern}/{question}"
        to, centre, factor = stretch(
            validation[valid].mean(-1), found[f"validation/{key}/mean"][valid].mean(-1)
        )
        mean, low, high = (found[f"test/{key}/{field}"][known] for field in Predicted._fields)
        answers = truth[known]
        inside = (low <= answers) & (answers <= high)
        stretched = to + factor * (mean.mean(-1) - centre)
        self.parts.append((answers.mean(-1), mean.mean(-1), stretched, inside.mean(-1)))
        self.people.append(fold.people[known.nonzero()[0]])

    def figures(self, seed: int) -> dict[str, float]:
        """CCC with a 95 % interval over people, r, the stretched CCC, and the share of answers inside."""
        truth, mean, stretched, inside = (np.concatenate(v) for v in zip(*self.parts, strict=True))
        people = np.concatenate(self.people)
        rows = [np.flatnonzero(people == p) for p in np.unique(people)]
        rng, resampled = np.random.default_rng(seed), []
        for _ in range(RESAMPLES):
            chosen = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
            resampled.append(concordance(truth[chosen], mean[chosen]))
        low, high = np.quantile(resampled, (0.025, 0.975))
        return {
            "ccc": concordance(truth, mean), "low": low, "high": high, "r": pearson(truth, mean),
            "stretched": concordance(truth, stretched), "inside": float(inside.mean()),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path)
    add("--runs", type=Path, required=True, help="folder for predictions")
    add("--models", nargs="+", choices=tuple(MODELS), default=tuple(MODELS), metavar="MODEL")
    add("--folds", nargs="+", type=int, choices=range(FOLDS), default=tuple(range(FOLDS)), metavar="FOLD")
    add("--test-exchanges", type=Path)
    add("--test-features", type=Path)
    add("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        run(arguments)
    except UserError as error:
        raise SystemExit(one_line(error)) from None


def run(arguments: argparse.Namespace) -> None:
    sessions = load_hazumi(arguments.folder / "exchanges.csv.gz", arguments.folder / "features.npz")
    if (arguments.test_exchanges is None) != (arguments.test_features is None):
        raise UserError("give both --test-exchanges and --test-features, or neither")
    test = None
    if arguments.test_exchanges is not None:
        test = load_hazumi(arguments.test_exchanges, arguments.test_features)
        if both := {s.person for s in sessions} & {s.person for s in test}:
            raise UserError(f"{arguments.test_exchanges}: {min(both)} is in both tables")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    scored: dict[tuple[str, str, str], Scored] = {}  # by question, pattern and model
    for k, (training, validation, others) in enumerate(splits(sessions, test, arguments.seed)):
        if k not in arguments.folds:
            continue
        steps = Steps(training)
        fold = Fold(
            steps, {"training": training, "validation": validation, "test": others}, arguments.seed, k
        )
        for name in arguments.models:
            label = name.replace(" %", "").replace(" ", "_")
            found = kept(arguments.runs / f"{label}_{fold.name}.npz", fold, name)
            for question in QUESTIONS:
                for pattern in PATTERNS:
                    if f"test/{pattern}/{question}/mean" in found:
                        key = question, pattern, name
                        scored.setdefault(key, Scored()).add(fold, found, pattern, question)
    people = {str(p) for s in scored.values() for part in s.people for p in part}
    print(
        f"\n{len(people)} people; CCC with 95 % interval over people, r, CCC stretched, answers inside 90 %"
    )
    for question in QUESTIONS:
        for pattern in PATTERNS:
            for name in arguments.models:
                if (question, pattern, name) in scored:
                    f = scored[question, pattern, name].figures(arguments.seed)
                    inside = f"{f['inside']:8.1%}"
                    print(
                        f"{question:10s} {pattern:7s} {name:12s} {f['ccc']:6.3f} "
                        f"({f['low']:.3f}–{f['high']:.3f}) {f['r']:6.3f} {f['stretched']:6.3f} {inside}"
                    )


if __name__ == "__main__":
    main()
