"""Shared by the MNIST benchmarks: arguments, the digit classifier, likelihoods."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from datasets.mnist import CLASSES, Digits, load_mnist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from enrapt.models import DMVAE, MVAE
from enrapt.models.training import Progress

BATCH = 128
TRAINING = 55_000
LIKELIHOOD_DIGITS, LIKELIHOOD_SAMPLES, PRIOR_SAMPLES = 2_000, 1_000, 100_000

Classifier = Callable[[Tensor], Tensor]


def arguments(description: str | None, epochs: int) -> argparse.ArgumentParser:
    """What all of them take on the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--digits", choices=("validation", "test"), default="test")
    return parser


def digits_of(args: argparse.Namespace) -> tuple[Digits, Digits]:
    """Training digits, and those that are measured."""
    training, test = load_mnist(args.folder)
    digits = test if args.digits == "test" else training.part(TRAINING, 60_000)
    return training.part(0, TRAINING), digits


def report(done: Progress) -> None:
    """Print the losses of an epoch."""
    nats = "  ".join(f"{k} {v:.2f}" for k, v in done.metrics.items() if k not in ("beta", "skipped"))
    print(f"epoch {done.round:3d}  {nats}  skipped {done.metrics['skipped']:.0f}", flush=True)


def train_classifier(network: nn.Module, x: Tensor, label: Tensor, steps: int, rate: float = 1e-3) -> None:
    """Adam over random batches, the learning rate a half cosine from its peak to 0; label one-hot."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order: list[Tensor] = []
    for _ in range(steps):
        order = order or list(torch.randperm(len(x)).split(BATCH))
        rows = order.pop()
        optimizer.zero_grad()
        cross_entropy(network(x[rows]), label[rows]).backward()
        optimizer.step()
        schedule.step()


def digit_classifier(digits: Digits) -> Classifier:
    """A small convolutional classifier, which binarises pixels or their probabilities at one half."""
    network = nn.Sequential(
        nn.Unflatten(-1, (1, 28, 28)),
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )
    train_classifier(network, digits.image, digits.label, 5 * len(digits.image) // BATCH)
    return lambda image: network((image > 0.5).float())


def accuracy(classifier: Classifier, image: Tensor, label: Tensor) -> float:
    """Share of images that a classifier puts in their class; label one-hot."""
    with torch.no_grad():
        return (classifier(image).argmax(-1) == label.argmax(-1)).double().mean().item()


def likelihoods(model: MVAE | DMVAE, digits: Digits) -> None:
    """Print log p(image), log p(image, label) and both conditionals: means and standard errors, nats."""
    generator = torch.Generator().manual_seed(0)
    data = digits.part(0, LIKELIHOOD_DIGITS)._asdict()

    def estimate(*names: str) -> Tensor:
        some = {name: data[name] for name in names}
        return model.log_likelihood(some, samples=LIKELIHOOD_SAMPLES, generator=generator)

    image, both = estimate("image"), estimate("image", "label")
    # q(z | label) may be much narrower than p(z | label), and would underestimate p(label). With ten classes
    # the prior is a good proposal.
    with torch.no_grad():
        of_class = model.decode(model.noise((PRIOR_SAMPLES,), generator), ["label"])["label"].mean(0)
    label = data["label"] @ of_class.log()
    for name, nats in {
        "log p(image)": image,
        "log p(image, label)": both,
        "log p(image | label)": both - label,
        "log p(label | image)": both - image,
    }.items():
        print(f"{name:28}{nats.mean():9.2f} ± {nats.std() / math.sqrt(len(nats)):.2f}", flush=True)
