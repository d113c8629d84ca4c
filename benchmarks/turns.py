"""Engagement per turn of people whom no model has seen, from who speaks when (CONVERSE).

    python benchmarks/turns.py CONVERSE_FOLDER [--seeds 5] [--test-speech FILE --test-turns FILE]

The folder has `speech.csv.gz` and `turns.csv.gz` (`datasets/converse.py`). Six folds of people; with the test
tables, models are trained on the folder's people and scored on theirs. A turn is scored once, at its last
tick, by what was said until then. Labels count by the annotator's confidence, as their standard deviation.

Ours is an ensemble of five TurnVRNNs, each for both speakers and for the person alone (`turn_factors.py`);
beside it are ensembles of forward filters of MDVAEs and of GRUs, and the first of each five. A careful
estimate varies little, and so has a small CCC, however well it orders turns. So, for every model alike,
estimates are stretched around the mean until their standard deviation is r^⅓ of the labels': between that of
least error, r, and that of the labels, 1. "as fitted" is without. How much that is, and how wide the 90 %
interval has to be, is measured by five more models, the same for all seeds, each trained without another
fifth of the people. The constant interval is the training labels' mean ± 1.645 standard deviations. "errors"
is with those of our voice activity in noise instead of the transcribers' spans.

Settings were chosen by six folds of other seeds on the same people; the folds here (seed 18) were drawn
before. So the score of kept-aside people is the cleaner one.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from datasets.converse import Conversation, load_converse
from turn_baselines import fixed_predictions
from turn_factors import (
    AS_FITTED,
    FOLD_SEED,
    MEMBERS,
    Predicted,
    folds,
    labels,
    left_out,
    measured,
    parts,
    predicted,
    without,
)
from turn_models import PATTERNS, RATE, Filter, Gru, Located, Ours, batch_of, spoilt, train

from enrapt.models.metrics import concordance, coverage, pearson, rmse

FOLDS: Final = 6
KINDS: Final = {"ours": Ours, "MDVAE": Filter, "GRU": Gru}
BOOTSTRAPS: Final = 2000
LEFT_OUT_SEED: Final = 1000  # of the first model that leaves people out; members' seeds are below
Found = dict[tuple[str, str], Predicted]  # by model and pattern
Arrays = dict[str, np.ndarray]
Report = Callable[[str], None]


def members(name: str, some: list[Conversation], others: list[Conversation], seed: int) -> Arrays:
    """What the members of a kind, each of everybody, give for others: by pattern, with and without errors."""
    batch, test = batch_of(some), batch_of(others)
    kept: Arrays = {}
    for number in range(MEMBERS):
        model = train(KINDS[name], batch, MEMBERS * seed + number)
        for pattern, found in model.predict(test).items():
            kept[f"{pattern}|{number}"] = np.stack(found)
        for pattern, found in model.predict(spoilt(test, seed)).items():
            kept[f"{pattern}, errors|{number}"] = np.stack(found)
    return kept


def leaving_out(name: str, some: list[Conversation]) -> Arrays:
    """What models that each leave out another part of the people give for all of them, by pattern."""
    everybody = batch_of(some)
    kept: Arrays = {}
    for number, part in enumerate(parts(some)):
        model = train(KINDS[name], batch_of(without(some, part)[0]), LEFT_OUT_SEED + number)
        for pattern, found in model.predict(everybody).items():
            kept[f"{pattern}|{number}"] = np.stack(found)
    return kept


def predictions(
    name: str, some: list[Conversation], of_members: Arrays, of_others: Arrays, report: Report
) -> Found:
    """The predictions of the ensemble and of its first member.

    Args:
        of_members, of_others: as `members` and `leaving_out` return them.
    """
    found: Found = {}
    centre = float(labels(some).mean())

    def given(kept: Arrays, pattern: str) -> list[Located]:
        return [Located(*kept[f"{pattern}|{k}"]) for k in range(MEMBERS)]

    by_model = [{pattern: given(of_others, pattern)[k] for pattern in PATTERNS} for k in range(MEMBERS)]
    out = left_out(some, by_model)
    for label, factors, count in (
        (f"{name} of {MEMBERS}", measured(out, centre), MEMBERS),
        (name, measured(out.of_one(), centre), 1),
    ):
        for pattern in PATTERNS:
            some_members = given(of_members, pattern)[:count]
            spoilt_members = given(of_members, f"{pattern}, errors")[:count]
            found[label, pattern] = predicted(some_members, factors, centre)
            found[f"{label}, errors", pattern] = predicted(spoilt_members, factors, centre)
            found[f"{label} as fitted", pattern] = predicted(some_members, AS_FITTED, centre)
        report(f"{label}: stretched by {factors.stretch:.2f}, interval by {factors.widening:.2f}")
    return found


def kept(path: Path | None, trained: Callable[[], Arrays]) -> Arrays:
    """What was trained, from a file if it is there."""
    if path is None:
        return trained()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".part.npz")
        np.savez(whole, **trained())
        whole.rename(path)
    return dict(np.load(path))


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


def joined(folds: list[Found]) -> dict[tuple[str, str], Predicted]:
    """Those of all folds, one after the other."""
    return {
        key: Predicted(*map(np.concatenate, zip(*(found[key] for found in folds), strict=True)))
        for key in folds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with speech.csv.gz and turns.csv.gz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=KINDS, default=[*KINDS], help="(all)")
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
    all_fixed = joined([fixed_predictions(*split) for split in splits])
    others: dict[tuple[str, int], Arrays] = {}
    all_seeds = []
    for seed in range(arguments.seeds):
        found = []
        for k, split in enumerate(splits):

            def report(line: str, seed: int = seed, k: int = k) -> None:
                now = f"{time.perf_counter() - began:.0f} s"
                print(f"seed {seed}, fold {k + 1}/{len(splits)}, {now}: {line}", flush=True)

            of_fold: Found = {}
            for name in arguments.models:
                files = [arguments.keep and arguments.keep / f"{name}-{k + 1}-{n}.npz" for n in (seed, "out")]
                of_members = kept(files[0], partial(members, name, *split, seed))
                if (name, k) not in others:  # the same for all seeds
                    others[name, k] = kept(files[1], partial(leaving_out, name, split[0]))
                of_fold |= predictions(name, split[0], of_members, others[name, k], report)
            found.append(of_fold)
        all_seeds.append(joined(found))
    constants = {pattern: all_fixed["mean", pattern] for pattern in PATTERNS}
    print(f"\nmedian of {arguments.seeds} seeds; CCC's 95 % interval over people, of the median seed")
    head = f"{'CCC':>7s}{'':>16s}{'r':>7s}{'within':>8s}{'RMSE':>7s}{'90 % holds':>12s}{'width':>7s}"
    print(f"{'':32s}{head}")
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
                f"{pattern:10s}{name:22s}{ccc:7.3f} ({low:.3f}, {high:.3f}){r:7.3f}{within:8.3f}{error:7.3f}"
                f"{100 * holds:10.1f} %{width:7.2f}"
            )


if __name__ == "__main__":
    main()
