"""The run of the bundle `turns`: engagement from who speaks when, trained on all people of CONVERSE.

    python benchmarks/turn_bundle.py CONVERSE_FOLDER -o runs/turns [--seed 0]
    enrapt export runs/turns -o turns.onnx

The folder has `speech.csv.gz` and `turns.csv.gz` of CONVERSE (MIT licence). It is the ensemble of `turns.py`.
Five more models, each of which leaves out another fifth of the people, tell how far estimates are stretched
and how wide the interval is.
"""

import argparse
import json
from pathlib import Path
from typing import Final

import torch
from datasets.converse import load_converse
from scipy.special import logit
from turn_factors import MEMBERS, batch_labels, left_out, measured, parts, people_of, widened, without
from turn_models import RATE, TARGET, Ours, batch_of, train

from enrapt.models import Ensemble, TurnVRNN, run_folder
from enrapt.models.config import ARRAYS, Config, Training, encode

ABOUT: Final = (
    "{people} people of CONVERSE (Torubarova, Ljung, Uddén and Pereira, LREC 2026; MIT licence), Swedish "
    "conversations of ten minutes with a person or a robot, in which one annotator, who knew the design, "
    "rated each turn by ear, at whose end an estimate is meant"
)


def stretch(model: TurnVRNN, factor: float, centre: float) -> None:
    """Multiply the distance of its target's locations, logits, from a centre from 0 to 1."""
    decoder = model.target_decoder(model.by_name[TARGET])
    assert decoder.of_h is not None
    last = decoder.of_h[-1]
    with torch.no_grad():
        decoder.of_z.weight *= factor
        last.weight[0] *= factor
        last.bias[0] = factor * last.bias[0] + (1 - factor) * float(logit(centre))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with speech.csv.gz and turns.csv.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder, of the run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    people = load_converse(arguments.folder / "speech.csv.gz", arguments.folder / "turns.csv.gz")
    arguments.output.mkdir(parents=True)
    batch, first = batch_of(people), 1000 * arguments.seed
    members, others = [], []
    for number, part in enumerate(parts(people)):
        members.append(train(Ours, batch, first + number))
        others.append(train(Ours, batch_of(without(people, part)[0]), first + MEMBERS + number))
        print(f"member {number + 1}", flush=True)
    centre = float(batch_labels(batch).mean())
    factor = measured(left_out(people, [one.predict(batch) for one in others]), centre).stretch
    for one in (*members, *others):
        stretch(one.model, factor, centre)
    # What is not known of z is stretched, too, so the width is measured again.
    wider = widened(left_out(people, [one.predict(batch) for one in others]), 1.0, centre)
    print(f"stretched by {factor:.2f}, interval by {wider:.2f}", flush=True)
    model = Ensemble([member.model for member in members])
    model.widening(model.by_name[TARGET]).fill_(wider)
    about = ABOUT.format(people=len(set(people_of(people))))
    config = Config(
        1, "turns", "engagement from who speaks when", RATE, model.config,
        Training(data=ARRAYS, calibrate=True), licence="MIT", trained_on=about,
    )  # fmt: skip
    described = {"seed": arguments.seed, "versions": run_folder.versions()}
    run_folder.write_json(described, arguments.output / "run.json")
    run_folder.write_json(json.loads(encode(config)), arguments.output / "config.json")
    run_folder.save_model(model, arguments.output / "model.safetensors")
    print(arguments.output)


if __name__ == "__main__":
    main()
