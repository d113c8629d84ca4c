"""Engagement per turn of people whom no model has seen, from who speaks when (CONVERSE).

    python benchmarks/turns.py CONVERSE_FOLDER [--seeds 5] [--test-speech FILE --test-turns FILE]

The folder has `speech.csv.gz` and `turns.csv.gz` (`datasets/converse.py`). Six folds of people; with the test
tables, models are trained on the folder's people and scored on theirs. A turn is scored once, at its last
tick, by what was said until then. Labels count by the annotator's confidence, as their standard deviation.

Ours is one TurnVRNN for both speakers and for the person alone. A careful estimate varies little, and so has
a small CCC, however well it orders turns. So, for every model alike, estimates are stretched around the mean
until their standard deviation is r^⅔ of the labels': between that of least error, r, and that of the labels,
1. "as fitted" is without. How much that is, and how wide the 90 % interval has to be, is measured on a
quarter of the training people by a model that was trained on the others; the models that are scored are
trained on all of them. The constant interval is the training labels' mean ± 1.645 standard deviations.
"errors" is with those of our voice activity in noise instead of the transcribers' spans.

The settings of `turn_models.py` were chosen by six folds of other seeds on the same people; the folds here
(seed 18) were drawn before. So the score of kept-aside people is the cleaner one.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from datasets.converse import Conversation, load_converse
from turn_factors import (
    FOLD_SEED,
    Split,
    apply,
    batch_labels,
    folds,
    inner_split,
    measured,
    stretch_of,
    without,
)
from turn_models import PATTERNS, RATE, TARGET, Gru, Ours, Predicted, batch_of, spoilt, train

from enrapt.models import Batch
from enrapt.models.baselines import PENALTIES, Sums
from enrapt.models.metrics import concordance, coverage, pearson, rmse
from enrapt.models.target import HALF_WIDTH

FOLDS: Final = 6
INNER_SEED: Final = 1  # of the model on which stretch and width are measured
BOOTSTRAPS: Final = 2000
Found = dict[tuple[str, str], list[Predicted]]  # by model and pattern, one a split


def labels(people: Sequence[Conversation]) -> np.ndarray:
    return batch_labels(batch_of(people))


class Ridge:
    """On the exponential means that ours sees, and their squares, of both speakers or of the person alone."""

    def __init__(self, people: Batch) -> None:
        self.means = Gru(0, people)

    def features(self, batch: Batch, names: Sequence[str]) -> np.ndarray:
        seen = self.means.seen(batch).x["partner" if len(names) > 1 else "own"]
        roots, model = seen[batch.available[TARGET]], self.means.means
        k = roots.shape[-1]
        roots = roots * model.feature_scale[:k] + model.feature_center[:k]
        return torch.cat([roots, roots**2], -1).double().numpy()

    def fitted(
        self, batch: Batch, held_out: Batch, names: Sequence[str]
    ) -> tuple[Callable[[Batch], np.ndarray], float, float]:
        """A regression of everybody with the penalty, stretch and error that those held out are given."""
        parts = [self.features(b, names) for b in (batch, held_out)]
        ys = [batch_labels(b) for b in (batch, held_out)]
        sums, unseen = Sums(parts[0].shape[1]), Sums(parts[0].shape[1])
        sums.add(parts[0], ys[0])
        unseen.add(parts[1], ys[1])
        penalty = min(PENALTIES, key=lambda p: unseen.error(sums.ridge(float(p))))
        weights = sums.ridge(float(penalty))
        mean = parts[1] @ weights[1:] + weights[0]
        factor, centre = stretch_of(ys[1], mean), ys[0].mean()
        error = rmse(ys[1], centre + factor * (mean - centre))
        sums.add(parts[1], ys[1])
        weights = sums.ridge(float(penalty))
        return (lambda b: self.features(b, names) @ weights[1:] + weights[0]), factor, error


def stretched(mean: np.ndarray, factor: float, centre: float, error: float) -> Predicted:
    mean = np.clip(centre + factor * (mean - centre), 0, 1)
    return Predicted(mean, np.clip(mean - HALF_WIDTH * error, 0, 1), np.clip(mean + HALF_WIDTH * error, 0, 1))


def simple(train_on: Sequence[Conversation], others: Sequence[Conversation]) -> dict[str, Predicted]:
    """Predictions of models that see no speech, at the turns of others."""
    y = labels(train_on)

    def regression(columns: Callable[[Conversation, float], list[float]]) -> np.ndarray:
        x, to = (
            np.array([columns(c, t.end) for c in people for t in c.turns]) for people in (train_on, others)
        )
        sums = Sums(x.shape[1])
        sums.add(x, y)
        weights = sums.ridge(1e-5)
        return to @ weights[1:] + weights[0]

    def clock(c: Conversation, end: float) -> list[float]:
        return [(end / 600) ** power for power in (1, 2, 3)]

    def condition(c: Conversation, end: float) -> list[float]:
        return [float(c.condition == "high"), float(c.condition == "medium")]

    n = sum(len(c.turns) for c in others)
    means = {
        "mean": np.full(n, y.mean()),
        "clock": regression(clock),
        "condition (oracle)": regression(condition),
    }
    return {name: stretched(mean, 1.0, y.mean(), float(y.std())) for name, mean in means.items()}


def fold_predictions(
    some: list[Conversation], others: list[Conversation], seeds: int, report: Callable[[str], None]
) -> tuple[Found, dict[int, Found]]:
    """Of one split: those without a seed, and those of each seed."""
    batch, test = batch_of(some), batch_of(others)
    fixed: Found = {}
    for name, one in simple(some, others).items():
        for pattern in PATTERNS:
            fixed[name, pattern] = [one]
    inner, held, held_names = inner_split(some)
    centre = float(batch_labels(batch).mean())
    ridge = Ridge(inner)
    for pattern, names in PATTERNS.items():
        regression, factor, error = ridge.fitted(inner, held, names)
        fixed["ridge", pattern] = [stretched(regression(test), factor, centre, error)]
        fixed["ridge, errors", pattern] = [stretched(regression(spoilt(test, 0)), factor, centre, error)]
        fixed["ridge as fitted", pattern] = [stretched(regression(test), 1.0, centre, error)]
    found: dict[int, Found] = {seed: {} for seed in range(seeds)}
    for kind, name in ((Ours, "ours"), (Gru, "GRU")):
        factors = measured(train(kind, inner, INNER_SEED), held, held_names, centre)
        report(f"{name}: stretched by {factors.stretch:.2f}, interval by {factors.widening:.2f}")
        for seed in range(seeds):
            model = train(kind, batch, seed)
            for pattern, names in PATTERNS.items():
                found[seed][f"{name} as fitted", pattern] = [model.predict(test, names)]
            apply(model, factors, centre)
            for pattern, names in PATTERNS.items():
                found[seed][name, pattern] = [model.predict(test, names)]
                found[seed][f"{name}, errors", pattern] = [model.predict(spoilt(test, seed), names)]
            report(f"{name}: seed {seed}")
    return fixed, found


def predictions(
    path: Path | None, split: Split, seeds: int, report: Callable[[str], None]
) -> tuple[Found, dict[int, Found]]:
    """`fold_predictions`, kept in a file, from which an interrupted measurement goes on."""
    if path is None:
        return fold_predictions(*split, seeds, report)
    if not path.is_file():
        fixed, by_seed = fold_predictions(*split, seeds, report)
        parts = {(-1, *key): value[0] for key, value in fixed.items()}
        parts |= {(seed, *key): value[0] for seed, found in by_seed.items() for key, value in found.items()}
        np.savez(path, **{"|".join(map(str, key)): np.stack(value) for key, value in parts.items()})
    found: dict[int, Found] = {seed: {} for seed in range(-1, seeds)}
    for key, value in np.load(path).items():
        seed, name, pattern = key.split("|")
        found[int(seed)][name, pattern] = [Predicted(*value)]
    return found.pop(-1), found


def measures(truth: np.ndarray, conversation: np.ndarray, found: Predicted, constant: float) -> np.ndarray:
    """CCC, r, r within conversations, RMSE, coverage of the 90 % interval, its width by the constant's."""
    counts = np.bincount(conversation)
    centred = [v - (np.bincount(conversation, v) / counts)[conversation] for v in (truth, found.mean)]
    width = float(np.mean(found.high - found.low))
    return np.array([
        concordance(truth, found.mean), pearson(truth, found.mean), pearson(*centred),
        rmse(truth, found.mean), coverage(truth, found.low, found.high), width / constant,
    ])  # fmt: skip


def bootstrap(person: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """The central 95 % of the CCC over draws of people."""
    rng, rows = np.random.default_rng(0), [np.flatnonzero(person == p) for p in np.unique(person)]
    values = []
    for _ in range(BOOTSTRAPS):
        chosen = np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])
        values.append(concordance(truth[chosen], mean[chosen]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with speech.csv.gz and turns.csv.gz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep predictions, and go on from those kept"
    )
    parser.add_argument("--test-speech", type=Path, help="other people's; needs --test-turns")
    parser.add_argument("--test-turns", type=Path)
    arguments = parser.parse_args()
    if (arguments.test_speech is None) != (arguments.test_turns is None):
        parser.error("give --test-speech and --test-turns together")
    torch.set_num_threads(1)
    people = load_converse(arguments.folder / "speech.csv.gz", arguments.folder / "turns.csv.gz")
    if arguments.test_speech is not None:
        splits = [(people, load_converse(arguments.test_speech, arguments.test_turns))]
    else:
        splits = [without(people, part) for part in folds([c.person for c in people], FOLDS, FOLD_SEED)]
    scored = [c for _, others in splits for c in others]
    truth = np.concatenate([labels(others) for _, others in splits])
    person = np.array([c.person for c in scored for _ in c.turns])
    conversation = np.array([i for i, c in enumerate(scored) for _ in c.turns])
    print(f"{len(set(person))} people, {len(scored)} conversations, {len(truth)} turns, {RATE} ticks/s")

    began = time.perf_counter()
    fixed: Found = {}
    by_seed: dict[int, Found] = {seed: {} for seed in range(arguments.seeds)}
    for k, (some, others) in enumerate(splits):

        def report(line: str, k: int = k) -> None:
            print(f"fold {k + 1}/{len(splits)}, {time.perf_counter() - began:.0f} s: {line}", flush=True)

        kept = arguments.keep and arguments.keep / f"{k + 1}.npz"
        one, several = predictions(kept, (some, others), arguments.seeds, report)
        for into, given in ((fixed, one), *((by_seed[seed], several[seed]) for seed in several)):
            for key, parts in given.items():
                into.setdefault(key, []).extend(parts)

    def joined(found: Found) -> dict[tuple[str, str], Predicted]:
        return {
            key: Predicted(*map(np.concatenate, zip(*parts, strict=True))) for key, parts in found.items()
        }

    all_fixed, all_seeds = joined(fixed), [joined(found) for found in by_seed.values()]
    constants = {pattern: all_fixed["mean", pattern] for pattern in PATTERNS}
    print(f"\nmedian of {arguments.seeds} seeds; CCC's 95 % interval over people, of the median seed")
    head = f"{'CCC':>7s}{'':>16s}{'r':>7s}{'within':>8s}{'RMSE':>7s}{'90 % holds':>12s}{'width':>7s}"
    print(f"{'':30s}{head}")
    for pattern in PATTERNS:
        constant = float(np.mean(constants[pattern].high - constants[pattern].low))
        names = [name for name, of in (*all_fixed, *all_seeds[0]) if of == pattern]
        for name in names:
            runs = [
                found[name, pattern] for found in ([all_fixed] if (name, pattern) in all_fixed else all_seeds)
            ]
            rows = np.array([measures(truth, conversation, run, constant) for run in runs])
            median = runs[int(np.argsort(rows[:, 0])[len(runs) // 2])]
            low, high = bootstrap(person, truth, median.mean)
            ccc, r, within, error, holds, width = np.median(rows, 0)
            print(
                f"{pattern:10s}{name:20s}{ccc:7.3f} ({low:.3f}, {high:.3f}){r:7.3f}{within:8.3f}{error:7.3f}"
                f"{100 * holds:10.1f} %{width:7.2f}"
            )


if __name__ == "__main__":
    main()
