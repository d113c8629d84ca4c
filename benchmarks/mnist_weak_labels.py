"""Accuracy of labels given images by share of labelled digits: MVAE, beside a classifier of the same encoder.

    python benchmarks/mnist_weak_labels.py DATA_FOLDER [--epochs N] [--digits validation|test] [--seed N]

After Wu & Goodman (2018), section 5: all 55,000 training digits have their image, and 0.1, 1, 10 or 100 %
their label (55, 550, 5,500, all; the fewer are among the more). The MVAE learns from all of them, as its ELBO
is of what is present. So that a batch has labels, labelled digits are repeated until they are a tenth of all,
which changes nothing from 10 % on. The label is what its decoder gives of z at the mean of q(z | image).
λ of the label, `cross` and the learning rate are those of mnist_mvae.py, which were chosen on validation
digits; nothing is chosen here.

The classifier has the image's encoder, 784 → 512 → 256, with a linear layer of ten scores instead of those
of z, and learns from the labelled digits alone.
"""

import torch
from datasets.mnist import CLASSES, PIXELS, Digits
from mnist_digits import BATCH, accuracy, arguments, digits_of, train_classifier
from torch import Tensor, nn

from enrapt.models import MVAE, Annealing, Modality, fit
from enrapt.models.coherence import conditional_accuracy
from enrapt.models.mlp import he_initialise, mlp

MODALITIES = (
    Modality("image", PIXELS, likelihood="bernoulli"),
    Modality("label", CLASSES, likelihood="categorical", weight=50.0),
)
CROSS = 0.5
HIDDEN = (512, 256)
SHARES = (0.001, 0.01, 0.1, 1.0)
LEAST = 0.1  # of what the MVAE learns from has a label, by repetition
STEPS = 1_000, 4_000  # of the classifier, at least and at most; in between, ten epochs


def weakly_labelled(training: Digits, labelled: Tensor) -> dict[str, Tensor]:
    """All images, with the labels of some, which are repeated; the other labels are missing."""
    known = torch.zeros(len(training.image), dtype=torch.bool)
    known[labelled] = True
    label = torch.where(known.unsqueeze(-1), training.label, torch.nan)
    rest = len(known) - len(labelled)
    copies = max(1, round(LEAST / (1 - LEAST) * rest / len(labelled)))
    rows = torch.cat([(~known).nonzero().flatten(), labelled.repeat(copies)])
    return {"image": training.image[rows], "label": label[rows]}


def of_mvae(training: Digits, labelled: Tensor, digits: Digits, epochs: int, seed: int) -> float:
    """Accuracy of an MVAE of all images and some labels."""
    torch.manual_seed(seed)
    model = MVAE(MODALITIES, hidden=HIDDEN, cross=CROSS)
    data = weakly_labelled(training, labelled)
    fit(model, data, batch=BATCH, epochs=epochs, lr=1e-3, annealing=Annealing(rounds=2), seed=seed)
    return conditional_accuracy(model, digits._asdict(), ["image"], "label", nn.Identity())


def of_classifier(training: Digits, labelled: Tensor, digits: Digits, seed: int) -> float:
    """Accuracy of a classifier of the labelled digits."""
    torch.manual_seed(seed)
    network = mlp(PIXELS, *HIDDEN, CLASSES)
    he_initialise(network)
    steps = min(max(STEPS[0], 10 * len(labelled) // BATCH), STEPS[1])
    train_classifier(network, training.image[labelled], training.label[labelled], steps)
    return accuracy(network, digits.image, digits.label)


def main() -> None:
    parser = arguments(__doc__, epochs=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    training, digits = digits_of(args)
    order = torch.randperm(len(training.image), generator=torch.Generator().manual_seed(args.seed))
    print(f"{'labelled':>16}{'classifier':>12}{'MVAE':>10}")
    for share in SHARES:
        labelled = order[: round(share * len(order))]
        alone = of_classifier(training, labelled, digits, args.seed)
        mvae = of_mvae(training, labelled, digits, args.epochs, args.seed)
        print(f"{share:>8.1%}{len(labelled):8,}{alone:12.2%}{mvae:10.2%}", flush=True)


if __name__ == "__main__":
    main()
