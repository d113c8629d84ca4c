"""Emotion of acted sentences from MDVAE's static latent, learned without labels, with few labels.

    python benchmarks/mdvae_emotion.py FEATURES.npz [--seeds 3]
    python benchmarks/mdvae_emotion.py FEATURES.npz --choose

After the emotion recognition of Sadok et al. (2023), on Emo-DB (`datasets.emodb`): 10 speakers, 7 emotions,
535 sentences of at most 2 s. Leave one speaker out: an MDVAE of the voice alone learns from the other nine
without labels, and a logistic regression with some of their labels. Nothing of the speaker left out is used,
not even for the normalisation. The regressions have

- the posterior mean of w of the sentence,
- with it the mean over time of the dynamic latent's posterior mean,
- statistics: mean and standard deviation of each feature over time,
- as many principal components of these statistics as w has dimensions, from the same sentences,
- the statistics and w together.

Every emotion has the same weight in a regression; its L2 penalty is chosen by log-likelihood in three groups
of its speakers left out in turn. Balanced accuracy is the mean recall of the emotions that a speaker acts.
Set OMP_NUM_THREADS=1: NumPy's threads make such small products slower.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from datasets.emodb import EMOTIONS, Sentences, load_emodb
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from enrapt.contracts.schemas import AUDIO
from enrapt.models import MDVAE, Modality, fit

Array = NDArray[np.float64]

STEPS, BATCH, RATE = 400, 64, 5e-3
SHARES = (5, 10, 25, 50, 100)  # per cent of the labels
VALIDATED = (10, 100)  # shares with which settings are chosen
DRAWS = 5  # of a share of the labels
PRIORS = (0.03, 0.1, 0.3, 1.0)  # standard deviations of a regression's weights
GROUPS = 3  # of speakers, left out in turn to choose between them
INPUTS = ("w", "w, mean of z", "statistics", "principal components", "statistics, w")

# The speakers are divided into two halves. A half is tested with the settings that `--choose` found on a pair
# of speakers of the other half, with a model and a regression of that half's other three speakers.
HALVES = (("03", "08", "09", "10", "11"), ("12", "13", "14", "15", "16"))
PAIRS = (("03", "08"), ("12", "13"))
HIDDEN = 64
SETTINGS = tuple({"static": static, "shared": shared} for static in (8, 16, 32) for shared in (2, 8))
CHOSEN = ({"static": 32, "shared": 8}, {"static": 32, "shared": 2})  # to test each half


def learn(sentences: Sentences, settings: dict[str, int], seed: int, batch: int = BATCH) -> MDVAE:
    """An MDVAE of sentences without their labels."""
    torch.manual_seed(seed)
    voice = Modality("audio", AUDIO.dim, likelihood="normal")
    model = MDVAE([voice], hidden=HIDDEN, private=0, **settings)
    epochs = round(STEPS / np.ceil(len(sentences.x) / batch))
    fit(model, {"audio": sentences.x}, batch=batch, epochs=epochs, lr=RATE, seed=seed, device="cpu")
    return model


def inputs_of(model: MDVAE, training: Sentences, some: Sentences) -> dict[str, Array]:
    """What the regressions have of some sentences `[N, …]`, by name."""
    with torch.no_grad():
        z = model.encode({"audio": some.x})
    w, shared = z.w.double().numpy(), z.shared.double().numpy()
    present = ~np.isnan(some.x[..., :1])
    mean = np.sum(shared, axis=1, where=present) / present.sum(1)
    known, here = statistics(training), statistics(some)
    center, scale = known.mean(0), known.std(0)
    axes = np.linalg.svd((known - center) / scale, full_matrices=False)[2][: w.shape[1]]
    found = (w, np.hstack([w, mean]), here, (here - center) / scale @ axes.T, np.hstack([here, w]))
    return dict(zip(INPUTS, found, strict=True))


def statistics(sentences: Sentences) -> Array:
    """Mean and standard deviation of each feature over time, `[N, 88]`."""
    x = sentences.x.astype(np.float64)
    return np.hstack([np.nanmean(x, 1), np.nanstd(x, 1)])


def regression(x: Array, label: NDArray[np.int64], prior: float, start: Array) -> Array:
    """Weights `[F + 1, C]` of a logistic regression, N(0, prior²) on each but the constants.

    Args:
        x: standardised inputs with a constant 1 in the last column, `[N, F + 1]`.
    """
    target = np.eye(len(EMOTIONS))[label]
    weight = (target / np.maximum(target.sum(0), 1)).sum(1, keepdims=True)  # the same for every emotion
    weight *= len(x) / weight.sum()
    penalty = np.full((x.shape[1], 1), prior**-2)
    penalty[-1] = 1e-6

    def cost(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(start.shape)
        logits = x @ weights
        value = -(weight * target * log_softmax(logits, 1)).sum() + 0.5 * (penalty * weights**2).sum()
        gradient = x.T @ (weight * (softmax(logits, 1) - target)) + penalty * weights
        return value / len(x), gradient.ravel() / len(x)

    found = minimize(cost, start.ravel(), jac=True, method="L-BFGS-B", options={"gtol": 1e-4})
    return found.x.reshape(start.shape)


def path(x: Array, label: NDArray[np.int64]) -> list[Array]:
    """The regressions with each of `PRIORS`, each from the one before."""
    weights, found = np.zeros((x.shape[1], len(EMOTIONS))), []
    for prior in PRIORS:
        weights = regression(x, label, prior, weights)
        found.append(weights)
    return found


def fitted(x: Array, label: NDArray[np.int64], speaker: NDArray[np.str_]) -> Array:
    """The regression with the prior under which other speakers' labels are most likely."""
    names = np.unique(speaker)
    total = np.zeros(len(PRIORS))
    for group in range(GROUPS):
        out = np.isin(speaker, names[group::GROUPS])
        if not out.any() or out.all():
            continue
        count = np.bincount(label[out], minlength=len(EMOTIONS))[label[out]]
        for i, weights in enumerate(path(x[~out], label[~out])):
            nats = log_softmax(x[out] @ weights, 1)[np.arange(out.sum()), label[out]]
            total[i] += (nats / count).sum()
    best = int(total.argmax())
    return path(x, label)[best]


def balanced_accuracy(guess: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    """The mean recall of the emotions that occur, per cent."""
    return 100 * float(np.mean([np.mean(guess[label == emotion] == emotion) for emotion in np.unique(label)]))


def scores(
    model: MDVAE, training: Sentences, test: Sentences, shares: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Balanced accuracy with shares of the labels, mean of their draws, `[shares, inputs]`."""
    chosen = [
        [rng.permutation(len(training.x))[: round(len(training.x) * share / 100)] for _ in range(DRAWS)]
        if share < 100
        else [np.arange(len(training.x))]
        for share in shares
    ]
    table = np.zeros((len(shares), len(INPUTS)))
    known, new = (inputs_of(model, training, some) for some in (training, test))
    for column, name in enumerate(INPUTS):
        center, scale = known[name].mean(0), known[name].std(0)
        x, x_new = (
            np.pad((v[name] - center) / scale, ((0, 0), (0, 1)), constant_values=1) for v in (known, new)
        )
        for row, draws in enumerate(chosen):
            guesses = [
                (x_new @ fitted(x[some], training.emotion[some], training.speaker[some])).argmax(1)
                for some in draws
            ]
            table[row, column] = np.mean([balanced_accuracy(guess, test.emotion) for guess in guesses])
    return table


def choose(sentences: Sentences, seeds: int) -> None:
    """Print how the settings do on the pair of validation speakers of each half."""
    for half, pair in zip(HALVES, PAIRS, strict=True):
        training = sentences.of(np.isin(sentences.speaker, [s for s in half if s not in pair]))
        test = sentences.of(np.isin(sentences.speaker, pair))
        batch = round(BATCH * len(training.x) / len(sentences.x))  # as many epochs
        print(
            f"speakers {', '.join(pair)}, from {len(training.x)} sentences of {len(half) - len(pair)} others"
        )
        print(f"{'labels':24s}" + "".join(f"{share:6d} %" for share in VALIDATED) + "    mean")
        for settings in SETTINGS:
            found = [
                scores(
                    learn(training, settings, seed, batch),
                    training,
                    test,
                    VALIDATED,
                    np.random.default_rng(seed),
                )
                for seed in range(seeds)
            ]
            cells = "".join(f"{value:8.1f}" for value in np.mean(found, 0)[:, 0])
            described = ", ".join(f"{name} {size}" for name, size in settings.items())
            print(f"{described:24s}{cells}{np.mean(found, (0, 1))[0]:8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="compare settings on validation speakers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sentences = load_emodb(arguments.features)
    if arguments.choose:
        choose(sentences, arguments.seeds)
        return

    began = time.process_time()
    speakers = np.unique(sentences.speaker)
    found = np.zeros((arguments.seeds, len(speakers), len(SHARES), len(INPUTS)))
    for seed in range(arguments.seeds):
        for i, speaker in enumerate(speakers):
            out = sentences.speaker == speaker
            training, test = sentences.of(~out), sentences.of(out)
            model = learn(training, CHOSEN[0 if speaker in HALVES[0] else 1], seed)
            found[seed, i] = scores(model, training, test, SHARES, np.random.default_rng((seed, i)))
        print(f"seed {seed}: {time.process_time() - began:.0f} s of processor time", flush=True)

    print("\nbalanced accuracy, %: mean over speakers, ± standard deviation over seeds")
    print(f"{'labels':8s}" + "".join(f"{name:>22s}" for name in INPUTS))
    for row, share in enumerate(SHARES):
        means = found[:, :, row].mean(1)  # [seeds, inputs]
        cells = zip(means.mean(0), means.std(0, ddof=1), strict=True)
        print(f"{share:4d} %  " + "".join(f"{mean:15.1f} ± {spread:4.1f}" for mean, spread in cells))
    print("\ndifference to the statistics: mean over speakers ± standard error over speakers")
    for row, share in enumerate(SHARES):
        by_speaker = found[:, :, row].mean(0)
        gain = by_speaker - by_speaker[:, [INPUTS.index("statistics")]]
        cells = zip(gain.mean(0), gain.std(0, ddof=1) / len(gain) ** 0.5, strict=True)
        print(f"{share:4d} %  " + "".join(f"{mean:15.1f} ± {error:4.1f}" for mean, error in cells))


if __name__ == "__main__":
    main()
