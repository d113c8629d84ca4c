"""MVAE of image and label on binarised MNIST: likelihoods, label from image, image from label.

    python benchmarks/mnist_mvae.py DATA_FOLDER [--epochs N] [--digits validation|test]

DATA_FOLDER holds the four idx .gz files. Pixels are binarised at one half, in training and in test. The first
55,000 training digits train, the last 5,000 are for choices (`--digits validation`). Log-likelihoods are by
importance sampling, 1,000 samples, of the first 2,000 digits. The classifier that reads the generated images
is trained on the same 55,000; what it reaches on real digits is printed beside.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from enrapt.models.datasets.mnist import CLASSES, PIXELS, Digits, load_mnist
from enrapt.models.importance import log_likelihood
from enrapt.models.mlp import mlp
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig
from enrapt.models.subsets import training_subsets

BATCH = 128
TRAINING = 55_000
LIKELIHOOD_DIGITS, LIKELIHOOD_SAMPLES = 2_000, 1_000
MODALITIES = (
    Modality("image", PIXELS, likelihood="bernoulli"),
    Modality("label", CLASSES, likelihood="categorical"),
)


def seen(digits: Digits, *names: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those modalities of all digits, and their masks."""
    present = torch.ones(len(digits.image), dtype=torch.bool)
    return {name: getattr(digits, name) for name in names}, dict.fromkeys(names, present)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A half cosine from the peak to nearly 0."""
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def fit(model: nn.Module, loss, digits: Digits, epochs: int, peak: float, warmup: int = 0) -> None:
    """Adam over shuffled batches; loss(batch, β) with β rising linearly to 1 over the warm-up's epochs.

    A step with a non-finite gradient is skipped and counted.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    per_epoch = len(digits.image) // BATCH
    skipped, start = 0, time.perf_counter()
    for epoch in range(epochs):
        order, total = torch.randperm(len(digits.image)), 0.0
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            optimizer.param_groups[0]["lr"] = learning_rate(step, epochs * per_epoch, peak)
            rows = order[i * BATCH : (i + 1) * BATCH]
            cost = loss(
                Digits(digits.image[rows], digits.label[rows]), min(1.0, step / max(warmup * per_epoch, 1))
            )
            optimizer.zero_grad()
            cost.backward()
            if torch.isfinite(nn.utils.clip_grad_norm_(model.parameters(), 200.0)):
                optimizer.step()
            else:
                skipped += 1
            total += cost.item()
        print(
            f"epoch {epoch + 1:3d}  loss {total / per_epoch:8.3f}  skipped {skipped}  "
            f"{time.perf_counter() - start:5.0f} s",
            flush=True,
        )


def train_classifier(digits: Digits) -> nn.Module:
    classifier = mlp(PIXELS, 256, CLASSES)
    fit(classifier, lambda batch, _: cross_entropy(classifier(batch.image), batch.label), digits, 5, 1e-3)
    return classifier


def accuracy(scores: Tensor, label: Tensor) -> float:
    """Share of digits whose greatest score is their label's."""
    return (scores.argmax(-1) == label.argmax(-1)).double().mean().item()


def likelihoods(model: nn.Module, digits: Digits) -> None:
    """Print log p(image), log p(image, label) and both conditionals: means and standard errors, nats."""
    generator = torch.Generator().manual_seed(0)

    def estimate(*names: str) -> Tensor:
        pieces = []
        for start in range(0, LIKELIHOOD_DIGITS, 100):
            x, mask = seen(digits.part(start, start + 100), *names)
            pieces.append(
                log_likelihood(
                    lambda z, x=x, mask=mask: model.log_joint(x, mask, z),
                    model.posterior(x, mask),
                    LIKELIHOOD_SAMPLES,
                    generator,
                )
            )
        return torch.cat(pieces)

    image, label, both = estimate("image"), estimate("label"), estimate("image", "label")
    for name, nats in {
        "log p(image)": image,
        "log p(image, label)": both,
        "log p(image | label)": both - label,
        "log p(label | image)": both - image,
    }.items():
        print(f"{name:24}{nats.mean():9.2f} ± {nats.std() / math.sqrt(len(nats)):.2f}", flush=True)


@torch.no_grad()
def across(model: MVAE, classifier: nn.Module, digits: Digits) -> None:
    """Print how often the other modality comes out right."""
    mean, _ = model.posterior(*seen(digits, "image"))
    print(f"{'label from image':24}{accuracy(model.decode(mean)['label'], digits.label):9.2%}")
    mean, precision = model.posterior(*seen(digits, "label"))
    z = mean + torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)) * torch.rsqrt(precision)
    images = (model.decode(z)["image"] > 0.5).float()
    print(f"{'image from label':24}{accuracy(classifier(images), digits.label):9.2%}")
    print(
        f"{'classifier, real digits':24}{accuracy(classifier(digits.image), digits.label):9.2%}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--digits", choices=("validation", "test"), default="test")
    args = parser.parse_args()
    torch.manual_seed(0)
    training, test = load_mnist(args.folder)
    digits = test if args.digits == "test" else training.part(TRAINING, 60_000)
    training = training.part(0, TRAINING)

    model = MVAE(MVAEConfig(MODALITIES))
    rng = np.random.default_rng(0)

    def loss(batch: Digits, beta: float) -> Tensor:
        subsets = training_subsets(("image", "label"), 0, rng)
        noise = torch.randn(len(subsets), len(batch.image), model.config.latent)
        return model.loss(*seen(batch, "image", "label"), subsets, noise, beta).total

    fit(model, loss, training, args.epochs, 1e-3, warmup=1)
    across(model, train_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
