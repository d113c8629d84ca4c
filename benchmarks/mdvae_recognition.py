"""Recognition from MDVAE's static latent, learned without labels: both modalities against one, few labels.

    python benchmarks/mdvae_recognition.py [--seed 0] [--sequences validation|test]

After the emotion recognition of Sadok et al. (2023), on generated sequences (`audiovisual_classes`) with a
known best possible accuracy. Three MDVAEs (audiovisual, audio-only, video-only) have one configuration and
number of steps, and see no label. A logistic regression from the mean of w is then fitted on 2,000 labelled
sequences and scored on 4,000 others; with a share of the labels, on 20 random draws of that share. The
baseline is the same regression without a model, from each channel's mean and standard deviation over ticks.

With a modality missing at test, the regression fitted with both takes the mean of w, or averages its
probabilities over draws of w; `refitted` is fitted with that modality missing too. The size of w was chosen
with `--sequences validation`.
"""

import argparse
import time

import numpy as np
import torch
from audiovisual import learn
from datasets.audiovisual_classes import CLASSES, Sequences, bayes, simulate
from datasets.audiovisual_factors import DIMS
from torch import Tensor
from torch.nn.functional import cross_entropy

from enrapt.models import MDVAE
from enrapt.models.latents import Latent

TRAINING, TICKS = 3_200, 30
EPOCHS = 20  # of 50 steps
WARMUP = 4  # epochs over which β rises to 1
LABELLED, MEASURED = 2000, 4000
SHARES = (1, 2, 5, 10, 20, 50, 100)  # per cent of the labels
DRAWS = 20  # of labels, and of w where a modality is missing
PRIOR = 3.0  # standard deviation of the regression's weights; chosen on true static factors mixed with noise
SEED_OF = {"labelled": 1, "validation": 2, "test": 3, "draws": 4}
BOTH = tuple(DIMS)
MODELS = {"audiovisual": BOTH, "audio-only": ("audio",), "video-only": ("video",)}


def tensors(x: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, Tensor]:
    return {m: torch.from_numpy(x[m]) for m in names}


def q_of_w(model: MDVAE, data: Sequences, names: tuple[str, ...]) -> Latent:
    """The posterior of w given whole sequences of some modalities; mean and precision `[N, S]`."""
    with torch.no_grad():
        return model.inferred(model.encoded(*model.batch(tensors(data.x, names))), None).latents["w"]


def pooled(data: Sequences, names: tuple[str, ...]) -> Tensor:
    """The baseline's features: each channel's mean and standard deviation over ticks, `[N, 2 D]`."""
    return torch.from_numpy(
        np.concatenate([f(data.x[m], axis=1) for m in names for f in (np.mean, np.std)], axis=-1)
    )


class LogisticRegression:
    """Multinomial, from standardised inputs, with the prior N(0, `PRIOR`²) on each weight."""

    def __init__(self, z: Tensor, label: Tensor) -> None:
        self.center, self.scale = z.mean(0), z.std(0)
        z = self.standardised(z)
        self.weights = torch.zeros(z.shape[1], CLASSES, dtype=z.dtype, requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weights], max_iter=200, line_search_fn="strong_wolfe")

        def cost() -> Tensor:
            optimizer.zero_grad()
            prior = 0.5 * (self.weights / PRIOR).square().sum()
            total = (cross_entropy(z @ self.weights, label, reduction="sum") + prior) / len(z)
            total.backward()
            return total

        optimizer.step(cost)

    def standardised(self, z: Tensor) -> Tensor:
        """In standard deviations, with a constant 1 in the last column."""
        return torch.cat([(z - self.center) / self.scale, torch.ones(len(z), 1)], -1).double()

    def probabilities(self, z: Tensor) -> Tensor:
        """Probability of each class, `[N, C]`."""
        return (self.standardised(z) @ self.weights.detach()).softmax(-1)

    def accuracy(self, z: Tensor, label: Tensor) -> float:
        return percent_correct(self.probabilities(z), label)


def percent_correct(probabilities: Tensor, label: Tensor) -> float:
    """Accuracy of the most probable class, per cent."""
    return 100 * float((probabilities.argmax(-1) == label).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sequences", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    seed = arguments.seed
    torch.set_num_threads(1)
    labelled = simulate(np.random.default_rng((seed, SEED_OF["labelled"])), LABELLED, TICKS)
    measured = simulate(np.random.default_rng((seed, SEED_OF[arguments.sequences])), MEASURED, TICKS)
    y, truth = torch.from_numpy(labelled.label), torch.from_numpy(measured.label)

    w = {}  # of the labelled and of the measured sequences, by model
    for name, seen in MODELS.items():
        began = time.perf_counter()
        x = tensors(simulate(np.random.default_rng(seed), TRAINING, TICKS).x, seen)
        model = learn(x, seed=seed, batch=64, epochs=EPOCHS, warmup=WARMUP, rate=5e-3, static=8)
        print(f"{name} trained in {time.perf_counter() - began:.0f} s\n", flush=True)
        w[name] = q_of_w(model, labelled, seen).mean, q_of_w(model, measured, seen).mean
        if seen == BOTH:
            audiovisual = model

    print(f"accuracy, %, on {MEASURED} {arguments.sequences} sequences; chance {100 / CLASSES:.1f}")
    print(f"{'':12s}{'w':>8s}{'no model':>10s}{'best possible':>15s}")
    no_model = {name: (pooled(labelled, seen), pooled(measured, seen)) for name, seen in MODELS.items()}
    for name, seen in MODELS.items():
        scores = [LogisticRegression(fit, y).accuracy(test, truth) for fit, test in (w[name], no_model[name])]
        best = 100 * np.mean(bayes({m: measured.static[m] for m in seen}) == measured.label)
        print(f"{name:12s}{scores[0]:8.2f}{scores[1]:10.2f}{best:15.2f}")

    print("\nthe audiovisual model with one modality missing at test")
    print(f"{'':12s}{'mean of w':>12s}{'draws of w':>12s}{'refitted':>12s}")
    of_both = LogisticRegression(w["audiovisual"][0], y)
    for m in BOTH:
        fit, q = q_of_w(audiovisual, labelled, (m,)).mean, q_of_w(audiovisual, measured, (m,))
        draws = [q.mean + torch.randn_like(q.mean) * torch.rsqrt(q.precision) for _ in range(DRAWS)]
        averaged = torch.stack([of_both.probabilities(draw) for draw in draws]).mean(0)
        scores = of_both.accuracy(q.mean, truth), percent_correct(averaged, truth)
        print(f"{m + ' alone':12s}{scores[0]:12.2f}{scores[1]:12.2f}", end="")
        print(f"{LogisticRegression(fit, y).accuracy(q.mean, truth):12.2f}")

    print(f"\nby share of the {LABELLED} labels: mean ± SD of {DRAWS} draws (share of that with all labels)")
    inputs = w | {"no model": no_model["audiovisual"]}
    print("labels" + "".join(f"{name:>24s}" for name in inputs))
    rng = np.random.default_rng((seed, SEED_OF["draws"]))
    orders = [torch.from_numpy(rng.permutation(LABELLED)) for _ in range(DRAWS)]
    full = {name: LogisticRegression(fit, y).accuracy(test, truth) for name, (fit, test) in inputs.items()}
    for share in SHARES:
        line = f"{share:4d} %"
        for name, (fit, test) in inputs.items():
            chosen = [order[: LABELLED * share // 100] for order in orders]
            scores = [LogisticRegression(fit[some], y[some]).accuracy(test, truth) for some in chosen]
            mean, deviation = np.mean(scores), np.std(scores)
            line += f"{mean:10.2f} ± {deviation:4.2f} ({100 * mean / full[name]:3.0f} %)"
        print(line)


if __name__ == "__main__":
    main()
