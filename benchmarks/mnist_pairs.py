"""MVAE of pictures of two overlapping digits and the two labels: MultiMNIST made from MNIST.

    python benchmarks/mnist_pairs.py DATA_FOLDER [--epochs N] [--digits validation|test]

Pictures are made by datasets/mnist.py: two digits of different classes, each shifted by up to four pixels, 36
pixels a side; training digits make the pictures for training, validation or test digits those that are
measured. The label has ten numbers, of which two are 1 (Bernoulli). All measures are of the pair, one of 45
classes, of which a model or classifier is right only with both digits: the scores of a pair are the sum of
those of its digits.

Pictures are read by a classifier that is trained on the same pictures; its accuracy on real ones is printed
too. Coherence is the share of samples from the prior in which it reads, in the picture, the pair that the
label has.
"""

from itertools import combinations

import numpy as np
import torch
from datasets.mnist import CLASSES, PAIR_SIDE, Digits, pairs
from mnist_digits import BATCH, arguments, digits_of, report
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from enrapt.models import MVAE, Annealing, Modality, fit
from enrapt.models.coherence import Classifier, coherence, conditional_accuracy

CROSS = 0.5
GENERATED = 10_000
# `[10, 45]`: which digits a pair has.
MEMBERS = torch.zeros(CLASSES, 45)
for number, pair in enumerate(combinations(range(CLASSES), 2)):
    MEMBERS[list(pair), number] = 1.0


def features(*more: nn.Module) -> nn.Sequential:
    """A convolutional network of pictures `[N, 1, 36, 36]`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 9 * 9, 256), nn.ReLU(), *more,
    )  # fmt: skip


def modalities() -> list[Modality]:
    shape = (1, PAIR_SIDE, PAIR_SIDE)
    decoder = nn.Sequential(
        nn.LazyLinear(256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, PAIR_SIDE**2)
    )
    return [
        Modality("picture", shape=shape, likelihood="bernoulli", encoder=features(), decoder=decoder),
        Modality("label", CLASSES, likelihood="bernoulli", weight=50.0),
    ]


def as_data(digits: Digits) -> dict[str, Tensor]:
    return {"picture": digits.image.view(-1, 1, PAIR_SIDE, PAIR_SIDE), "label": digits.label}


def pair_of_label(label: Tensor) -> Tensor:
    """Scores of the pairs `[N, 45]`, of labels or their probabilities `[N, 10]`."""
    return label @ MEMBERS


def reader(data: dict[str, Tensor], epochs: int = 5) -> Classifier:
    """A classifier of pictures, binarised at one half, into pairs."""
    torch.manual_seed(0)
    network = features(nn.Linear(256, CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(data["label"])).split(BATCH):
            optimizer.zero_grad()
            scores = network(data["picture"][rows])
            binary_cross_entropy_with_logits(scores, data["label"][rows]).backward()
            optimizer.step()
    network.eval()
    return lambda picture: pair_of_label(network((picture > 0.5).float()))


def main() -> None:
    args = arguments(__doc__, epochs=10).parse_args()
    torch.set_num_threads(1)
    training, measured = digits_of(args)
    data, digits = (as_data(pairs(d, np.random.default_rng(0))) for d in (training, measured))
    torch.manual_seed(0)
    model = MVAE(modalities(), cross=CROSS)
    fit(model, data, batch=BATCH, epochs=args.epochs, lr=1e-3, annealing=Annealing(rounds=2), progress=report)
    read = reader(data)
    truth = pair_of_label(digits["label"]).argmax(-1)
    with torch.no_grad():
        real = (read(digits["picture"]).argmax(-1) == truth).double().mean()
    label = conditional_accuracy(model, digits, ["picture"], "label", pair_of_label)
    picture = conditional_accuracy(model, digits, ["label"], "picture", read, truth, samples=1,
                                   generator=torch.Generator().manual_seed(0))  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        new = model.decode(model.latents(model.noise((GENERATED,), generator)))
    agree = coherence(new, {"picture": read, "label": pair_of_label})
    for name, share in {
        "real pictures, read": real,
        "label from picture": label,
        "picture from label, read": picture,
        "coherence of new samples": agree,
    }.items():
        print(f"{name:28}{share:9.2%}", flush=True)


if __name__ == "__main__":
    main()
