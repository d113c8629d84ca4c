"""A model trained on a study of simulated people, by noisy labels of a part of it, against the truth.

    python benchmarks/simulated_study.py FOLDER [--seed N] [--clean] [--from BUNDLE] [--config FILE.toml]

20 people talk for 5 minutes each. Three raters with lags of 1, 2 and 3 s, noise and scales of their own rate
30 % of each session (--clean: the truth, all of it). FOLDER keeps the study and the run. All are scored
against the truth, at every tick, on other simulated people: the four test people of a study are too few to
tell two models apart.
"""

import argparse
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets.simulated_study import RATE, simulated_study

from enrapt.cli.main import main as enrapt
from enrapt.models import baselines
from enrapt.models.batch import Batch
from enrapt.models.data import Recordings
from enrapt.models.datasets.conversation import simulate
from enrapt.models.evaluation import Group, patterns, predict, target_scores
from enrapt.models.run_folder import load_run, run_seed

SECONDS = 300
TOGETHER = 16  # people that are predicted at a time
SCORES = ("ccc", "rmse", "coverage90")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the people, raters and training")
    parser.add_argument("--new-people", type=int, default=64, help="that are scored (64)")
    parser.add_argument("--model")
    parser.add_argument("--from", dest="first", metavar="BUNDLE", help="first weights")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--no-gru", action="store_true")
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    study, run = args.folder / "study", args.folder / "run"
    if not study.exists():
        simulated_study(
            study, seconds=SECONDS, share=1.0 if args.clean else 0.3, clean=args.clean, seed=args.seed
        )
    given = {"--config": args.config, "--model": args.model, "--from": args.first}
    options = [text for option, value in given.items() if value for text in (option, str(value))]
    started, before = time.perf_counter(), time.process_time()
    command = ["train", str(study), "-o", str(run), "--threads", args.threads]
    if enrapt([*command, "--seed", str(args.seed), *options]):
        raise SystemExit(2)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    print(f"trained in {seconds:.0f} s, {cpu:.0f} s of CPU time, load {os.getloadavg()[0]:.1f}")
    print_scores(run, args.seed, args.new_people, not args.no_gru)


def new_people(config, seed: int, count: int) -> Iterator[Group]:
    """People who are in no study, under every pattern of missing modalities."""
    for number in range(0, count, TOGETHER):
        rng = np.random.default_rng((seed, number, 1))
        found = simulate(rng, min(TOGETHER, count - number), SECONDS * RATE, RATE)
        x, available = ({k: torch.from_numpy(v) for k, v in part.items()} for part in found)
        batch = Batch(x, available)
        yield Group(batch, patterns(config.model.modalities, config.rate, batch, rng))


def print_scores(run: Path, seed: int, people: int, with_gru: bool) -> None:
    torch.set_num_threads(1)
    config, model = load_run(run)
    data = Recordings(config, training=True)
    predictors = {"model": partial(predict, model)}
    (target,) = model.targets
    for name, features in (
        ("mean", baselines.nothing), ("ridge", baselines.windows(model, config.rate))
    ):  # fmt: skip
        linear = baselines.Linear(target, features)
        linear.fit(*(baselines._sessions(config, data, seed, part) for part in ("train", "validation")))
        predictors[name] = linear.predict
    if with_gru:
        gru = baselines.trained_gru(config, run_seed(run), run, lambda progress: None)
        predictors["gru"] = partial(predict, gru)
    groups = [*new_people(config, seed, people)]
    found = {name: target_scores(model.targets, iter(groups), p) for name, p in predictors.items()}
    print(f"{people} new people".ljust(17) + " ".join(f"{name:>24s}" for name in found))
    print(f"{'':17s} " + " ".join(f"{'CCC':>8s}{'RMSE':>8s}{'cov.':>8s}" for _ in found))
    for pattern in found["model"]:
        row = [[found[n][pattern][k] for k in SCORES] for n in found]
        print(f"{pattern:17s} " + " ".join("".join(f"{x:8.3f}" for x in three) for three in row))


if __name__ == "__main__":
    main()
