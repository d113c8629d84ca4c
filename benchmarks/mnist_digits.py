"""Shared by the two MNIST benchmarks: arguments, training, the digit classifier, likelihoods."""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets.mnist import CLASSES, Digits, load_mnist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from enrapt.models.dmvae import DMVAE
from enrapt.models.importance import log_likelihood
from enrapt.models.mvae import MVAE

BATCH = 128
TRAINING = 55_000
LIKELIHOOD_DIGITS, LIKELIHOOD_SAMPLES = 2_000, 1_000

Loss = Callable[[Digits, float], Tensor]  # (batch, epochs so far) → loss


def digits_and_epochs(description: str | None, epochs: int) -> tuple[Digits, Digits, int]:
    """From the command line: training digits, test digits, and the number of epochs."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--digits", choices=("validation", "test"), default="test")
    args = parser.parse_args()
    training, test = load_mnist(args.folder)
    digits = test if args.digits == "test" else training.part(TRAINING, 60_000)
    return training.part(0, TRAINING), digits, args.epochs


def seen(digits: Digits, *names: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those modalities of the digits, with masks."""
    present = torch.ones(len(digits.image), dtype=torch.bool)
    return {name: getattr(digits, name) for name in names}, dict.fromkeys(names, present)


def fit(model: nn.Module, loss: Loss, digits: Digits, epochs: int, peak: float = 1e-3) -> None:
    """Adam over shuffled batches, the learning rate a half cosine from its peak to nearly 0.

    A step with a non-finite gradient is skipped and counted.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=peak, fused=True)
    per_epoch = len(digits.image) // BATCH
    skipped, start = 0, time.perf_counter()
    for epoch in range(epochs):
        order, total = torch.randperm(len(digits.image)), 0.0
        for i in range(per_epoch):
            progress = epoch + i / per_epoch
            cosine = 0.5 * (1 + math.cos(math.pi * progress / epochs))
            optimizer.param_groups[0]["lr"] = peak * (0.01 + 0.99 * cosine)
            rows = order[i * BATCH : (i + 1) * BATCH]
            cost = loss(Digits(digits.image[rows], digits.label[rows]), progress)
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
    """A small convolutional classifier of digits."""
    classifier = nn.Sequential(
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
    fit(classifier, lambda batch, _: cross_entropy(classifier(batch.image), batch.label), digits, 5)
    return classifier


def accuracy(scores: Tensor, label: Tensor) -> float:
    """Share of digits whose highest score is that of their label."""
    return (scores.argmax(-1) == label.argmax(-1)).double().mean().item()


def read(classifier: nn.Module, image: Tensor, label: Tensor) -> float:
    """Accuracy of the classifier on pixels or their probabilities, binarised at one half."""
    return accuracy(classifier((image > 0.5).float()), label)


def likelihoods(model: MVAE | DMVAE, digits: Digits) -> None:
    """Print log p(image), log p(image, label) and both conditionals: means and standard errors, nats."""
    generator = torch.Generator().manual_seed(0)

    def estimate(*names: str) -> Tensor:
        pieces = []
        for start in range(0, LIKELIHOOD_DIGITS, 100):
            x, mask = seen(digits.part(start, start + 100), *names)
            # q(z | label) may be much narrower than p(z | label), and would underestimate p(label). With ten
            # classes the prior is a good proposal.
            proposal = mask if "image" in names else {name: ~present for name, present in mask.items()}
            pieces.append(
                log_likelihood(
                    lambda z, x=x, mask=mask: model.log_joint(x, mask, z),
                    model.posterior(x, proposal),
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
        print(f"{name:28}{nats.mean():9.2f} ± {nats.std() / math.sqrt(len(nats)):.2f}", flush=True)
