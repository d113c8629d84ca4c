"""MVAE and DMVAE of MNIST's images and labels, side by side with MultiVae (Senellart et al. 2025).

    python benchmarks/multivae.py DATA_FOLDER --python PATH [--networks cnn|mlp] [--epochs N] [--digits N]

PATH is the Python of an environment that has `multivae`, with the same version of PyTorch. DATA_FOLDER
contains the four idx .gz files of MNIST; pixels are binarised at one half.

Both libraries get the same networks, objective (that of the papers), likelihoods, weights (each modality's
likelihood is multiplied by the largest dimension over its own), batches of 128, Adam from 1e-3 down to 2e-5
along a half cosine, and β = 1. Each model is trained in a process of its own, on one thread, and the two take
turns: one epoch of the one, one of the other. An epoch's time is the processor's, which other processes
disturb less than the clock's.

log p(image) is of 500 test digits, by importance sampling with 500 samples, computed by the same lines for
both (side_by_side/worker.py). `label from image` takes z at its posterior's mean, `image from label` a draw
of z, and a small classifier reads the image. The lines of code are those of side_by_side/with_enrapt.py and
with_multivae.py, which do the same, without blank ones and docstrings.
"""

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets.mnist import Digits, load_mnist
from torch import nn
from torch.nn.functional import cross_entropy

TEST = 2_000  # test digits
SIDES = Path(__file__).parent / "side_by_side"
LIBRARIES = ("enrapt", "multivae")
MODELS = ("mvae", "dmvae")


class Worker:
    """One model of one library, in a process that waits for its turn."""

    def __init__(self, python: str, *arguments: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [python, SIDES / "worker.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.parameters = self.report()["parameters"]
        self.epochs: list[float] = []  # seconds of processor time

    def report(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"{' '.join(map(str, self.process.args))}: ended early; run it to see why")
        result: dict[str, Any] = json.loads(line)
        return result

    def turn(self) -> dict[str, Any]:
        """Let it go on to the next report."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self.report()

    def epoch(self) -> None:
        self.epochs.append(self.turn()["cpu"])


def lines_of_code(path: Path) -> int:
    """Lines of a program without blank ones and docstrings."""
    text = path.read_text()
    docstrings = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    ]
    left_out = {line for node in docstrings for line in range(node.lineno, node.end_lineno + 1)}
    return sum(bool(line.strip()) and n not in left_out for n, line in enumerate(text.splitlines(), 1))


def train_classifier(digits: Digits) -> nn.Module:
    """A small convolutional classifier of digits `[N, 1, 28, 28]`, two epochs."""
    torch.manual_seed(0)
    classifier = nn.Sequential(
        nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3, fused=True)
    for _ in range(2):
        for rows in torch.randperm(len(digits.image)).split(128):
            optimizer.zero_grad()
            image = digits.image[rows].view(-1, 1, 28, 28)
            cross_entropy(classifier(image), digits.label[rows]).backward()
            optimizer.step()
    return classifier.eval()


@torch.no_grad()
def read(classifier: nn.Module, image: torch.Tensor, label: torch.Tensor) -> float:
    """Share of images, binarised at one half, that the classifier puts in their class."""
    scores = classifier((image.view(-1, 1, 28, 28) > 0.5).float())
    return (scores.argmax(-1) == label.argmax(-1)).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path)
    add("--python", required=True, help="of an environment that has multivae")
    add("--networks", choices=("cnn", "mlp"), default="cnn")
    add("--epochs", type=int, default=5)
    add("--digits", type=int, default=55_000, help="training digits (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    training, test = load_mnist(args.folder)
    training, test = training.part(0, args.digits), test.part(0, TEST)
    classifier = train_classifier(training)
    print(f"real images, read by the classifier: {read(classifier, test.image, test.label):.2%}", flush=True)
    pythons = dict(zip(LIBRARIES, (sys.executable, args.python), strict=True))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"image": training.image, "test_image": test.image}
        pictures = {key: value.view(-1, 1, 28, 28).numpy() for key, value in pictures.items()}
        np.savez(folder / "digits.npz", **pictures, label=training.label, test_label=test.label)
        for model in MODELS:
            side_by_side(model, args, pythons, folder, classifier, test)
    lines = [lines_of_code(SIDES / f"with_{library}.py") for library in LIBRARIES]
    print(f"{'lines of user code':34}{lines[0]:>16}{lines[1]:>16}")


def side_by_side(
    model: str,
    args: argparse.Namespace,
    pythons: dict[str, str],
    folder: Path,
    classifier: nn.Module,
    test: Digits,
) -> None:
    """Train and score one model with both libraries, and print its part of the table."""
    workers = {
        library: Worker(python, library, model, args.networks, str(folder), str(args.epochs))
        for library, python in pythons.items()
    }
    for _ in range(args.epochs):
        for worker in workers.values():
            worker.epoch()
    columns = []
    for library, worker in workers.items():
        scores = worker.turn()
        image = torch.from_numpy(np.load(folder / f"{library}_{model}.npy"))
        columns.append(
            {
                "parameters": f"{worker.parameters:,}",
                "log p(image), nats": f"{scores['nats']:.2f} ± {scores['error']:.2f}",
                "label from image": f"{scores['label']:.2%}",
                "image from label, read": f"{read(classifier, image, test.label):.2%}",
                "an epoch, s of processor time": f"{statistics.median(worker.epochs):.1f}",
            }
        )
        worker.process.communicate("\n")
    ours, theirs = (worker.epochs for worker in workers.values())
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    title = f"{model.upper()}, {args.networks}, {args.epochs} epochs of {args.digits:,}"
    print(f"{title:34}{LIBRARIES[0]:>16}{LIBRARIES[1]:>16}")
    for row in columns[0]:
        print(f"{row:34}{columns[0][row]:>16}{columns[1][row]:>16}")
    print(
        f"{'ratio of epochs, median':34}{statistics.median(ratios):>16.2f}  ({min(ratios):.2f} to "
        f"{max(ratios):.2f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
