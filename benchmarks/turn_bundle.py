"""The run of the bundle `turns`: engagement from who speaks when, trained on all people of CONVERSE.

    python benchmarks/turn_bundle.py CONVERSE_FOLDER -o runs/turns [--seed 0]
    enrapt export runs/turns -o turns.onnx

The folder has `speech.csv.gz` and `turns.csv.gz` of CONVERSE (MIT licence). How far estimates are stretched
and how wide the interval is, is measured by a model without a quarter of the people, see `turns.py`.
"""

import argparse
import json
from pathlib import Path
from typing import Final

import torch
from datasets.converse import load_converse
from turn_factors import apply, batch_labels, inner_split, measured
from turn_models import RATE, Ours, batch_of, train

from enrapt.models import run_folder
from enrapt.models.config import ARRAYS, Config, Training, encode

ABOUT: Final = (
    "{people} people of CONVERSE (Torubarova, Ljung, Uddén and Pereira, LREC 2026; MIT licence): Swedish "
    "conversations of ten minutes with a person or a robot. One annotator, who knew the design, rated by ear "
    "how engaged the person was in each turn. Estimates are meant for the end of a turn; nothing is known of "
    "other languages and of more than two speakers, and without the partner's speech they are much worse"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with speech.csv.gz and turns.csv.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder, of the run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    people = load_converse(arguments.folder / "speech.csv.gz", arguments.folder / "turns.csv.gz")
    inner, held, names = inner_split(people)
    batch = batch_of(people)
    centre = float(batch_labels(batch).mean())
    arguments.output.mkdir(parents=True)
    factors = measured(train(Ours, inner, arguments.seed), held, names, centre)
    print(f"stretched by {factors.stretch:.2f}, interval by {factors.widening:.2f}", flush=True)
    ours = train(Ours, batch, arguments.seed)
    assert isinstance(ours, Ours)
    apply(ours, factors, centre)
    about = ABOUT.format(people=len({c.person for c in people}))
    config = Config(
        1, "turns", "engagement from who speaks when", RATE, ours.model.config,
        Training(data=ARRAYS, calibrate=True), licence="MIT", trained_on=about,
    )  # fmt: skip
    described = {"seed": arguments.seed, "versions": run_folder.versions()}
    run_folder.write_json(described, arguments.output / "run.json")
    run_folder.write_json(json.loads(encode(config)), arguments.output / "config.json")
    run_folder.save_model(ours.model, arguments.output / "model.safetensors")
    print(arguments.output)


if __name__ == "__main__":
    main()
