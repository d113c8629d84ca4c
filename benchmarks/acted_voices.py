"""What the shipped bundles make of real voices: sentences that actors spoke in seven emotions (Emo-DB).

    python benchmarks/acted_voices.py FEATURES.npz [--bundle default]

Nobody rated the engagement of these sentences, and an emotion is not engagement. But bored people are taken
for less engaged than angry or joyful ones, so an estimate that means anything for real voices should order
them so. Each of the 535 sentences, of at most 2 s, is estimated by its own, without a face; its estimate is
that of its last tick. Beside it the mean level, which tells loud emotions from quiet ones.
"""

import argparse
from pathlib import Path

import numpy as np
from datasets.emodb import EMOTIONS, load_emodb

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.sequence import initial_states, run_sequence
from enrapt.contracts.errors import UserError, one_line
from enrapt.contracts.schemas import AUDIO
from enrapt.models.metrics import auc


def estimated(bundle: Bundle, x: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean at the last tick of each sentence, `[N]`."""
    mask = np.stack([there & (m.name == "audio") for m in bundle.metadata.inputs], -1)
    feed = {m.name: np.zeros((*there.shape, m.dim), np.float32) for m in bundle.metadata.inputs}
    feed |= {"audio": np.nan_to_num(x), "mask": mask.astype(np.float32)}
    outputs, _ = run_sequence(bundle, feed, initial_states(bundle, len(x)))
    return outputs["engagement_mean"][np.arange(len(x)), there.sum(1) - 1, 0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("--bundle", default="default")
    args = parser.parse_args()
    try:
        sentences, bundle = load_emodb(args.features), Bundle.load(args.bundle)
    except UserError as error:
        raise SystemExit(one_line(error)) from None
    there = ~np.isnan(sentences.x).any(-1)
    level = np.nanmean(sentences.x[..., AUDIO.index("level")], 1)
    estimate = estimated(bundle, sentences.x, there)
    names = [*EMOTIONS.values()]
    print(
        f"{len(there)} sentences, {bundle.metadata.name}: estimate, and AUC against boredom of the estimate"
    )
    print(f"and of the level\n{'':10s}{'N':>5s}{'mean':>8s}{'std':>8s}{'estimate':>10s}{'level':>8s}")
    bored = sentences.emotion == names.index("boredom")
    for number, name in enumerate(names):
        these = sentences.emotion == number
        line = f"{name:10s}{these.sum():5d}{estimate[these].mean():8.3f}{estimate[these].std():8.3f}"
        if name != "boredom":
            both = these | bored
            line += f"{auc(these[both], estimate[both]):10.2f}{auc(these[both], level[both]):8.2f}"
        print(line)


if __name__ == "__main__":
    main()
