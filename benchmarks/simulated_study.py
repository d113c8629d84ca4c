"""A model trained on a study of simulated people, by noisy labels of a part of it, against the truth.

    python benchmarks/simulated_study.py FOLDER [--clean] [--config FILE.toml] [--no-gru]

20 people talk for 5 minutes each. Three raters with lags of 1, 2 and 3 s, noise and scales of their own rate
30 % of each session (--clean: the truth, all of it). FOLDER keeps the study and the run. Test people are
scored against the truth at every tick.
"""

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets.simulated_study import simulated_study

from enrapt.cli.main import main as enrapt
from enrapt.models import baselines
from enrapt.models.data import Recordings
from enrapt.models.evaluation import held_out, predict, target_scores
from enrapt.models.run_folder import load_run, run_seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="mm_vrnn")
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--no-gru", action="store_true")
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    study, run = args.folder / "study", args.folder / "run"
    if not study.exists():
        truth = simulated_study(study, share=1.0 if args.clean else 0.3, clean=args.clean)
        np.save(args.folder / "truth.npy", truth.values["engagement"])
    options = ["--config", str(args.config)] if args.config else []
    started, before = time.perf_counter(), time.process_time()
    command = ["train", str(study), "-o", str(run), "--model", args.model, "--threads", args.threads]
    if enrapt(command + options):
        raise SystemExit(2)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    print(f"trained in {seconds:.0f} s, {cpu:.0f} s of CPU time, load {os.getloadavg()[0]:.1f}")
    config, model = load_run(run)
    print_scores(args.folder, config, model, run_seed(run), run, not args.no_gru)


def print_scores(folder: Path, config, model, seed: int, run: Path, with_gru: bool) -> None:
    torch.set_num_threads(1)
    data = Recordings(config, training=True)
    truth = np.load(folder / "truth.npy")
    index = json.loads((run / "sessions/sessions.json").read_text())["test"]
    people = [int(one["session"][1:3]) for _, one in sorted(index.items())]
    predictors = {"model": partial(predict, model)}
    (target,) = model.targets
    for name, features in (
        ("mean", baselines.nothing), ("ridge", baselines.windows(model, config.rate))
    ):  # fmt: skip
        linear = baselines.Linear(target, features)
        linear.fit(*(baselines._sessions(config, data, seed, part) for part in ("train", "validation")))
        predictors[name] = linear.predict
    if with_gru:
        gru = baselines.trained_gru(config, seed, run, lambda progress: None)
        predictors["gru"] = partial(predict, gru)

    def groups():
        for batch, seen in held_out(config, data, seed, "test"):
            # Sessions of the same length stay in the order of their files.
            true = torch.from_numpy(truth[people])[:, : batch.x[target.name].shape[1]]
            batch.x[target.name] = torch.nn.functional.pad(
                true, (0, 0, 0, batch.x[target.name].shape[1] - true.shape[1]), value=torch.nan
            )
            batch.available[target.name] = ~batch.x[target.name].isnan().squeeze(-1)
            yield batch, seen

    found = {name: target_scores(model.targets, groups(), p) for name, p in predictors.items()}
    print(f"{'against the truth':17s} " + " ".join(f"{name:>24s}" for name in found))
    print(f"{'':17s} " + " ".join(f"{'CCC':>8s}{'RMSE':>8s}{'cov.':>8s}" for _ in found))
    for pattern in found["model"]:
        row = [[found[n][pattern][k] for k in ("ccc", "rmse", "coverage90")] for n in found]
        print(f"{pattern:17s} " + " ".join("".join(f"{x:8.3f}" for x in three) for three in row))


if __name__ == "__main__":
    main()
