"""MVAE of image and label on binarised MNIST: likelihoods, label from image, image from label.

    python benchmarks/mnist_mvae.py DATA_FOLDER [--epochs N] [--digits validation|test]

DATA_FOLDER contains the four idx .gz files. Pixels are binarised at one half, in training and test. The first
55,000 training digits are for training, the last 5,000 for validation (`--digits validation`).
Log-likelihoods of the first 2,000 digits are by importance sampling, 1,000 samples. The classifier for
generated images is trained on the same 55,000; its accuracy on real digits is printed too. As a classifier
also recognises the average image of a digit, the standard deviation of pixels among the images of one digit
is printed as well.
"""

import torch
from datasets.mnist import CLASSES, PIXELS, Digits
from mnist_digits import (
    BATCH,
    Classifier,
    accuracy,
    arguments,
    digit_classifier,
    digits_of,
    likelihoods,
    report,
)
from torch import Tensor, nn

from enrapt.models import MVAE, Annealing, Modality, fit
from enrapt.models.coherence import conditional_accuracy

MODALITIES = (
    Modality("image", PIXELS, likelihood="bernoulli"),
    Modality("label", CLASSES, likelihood="categorical", weight=50.0),
)
CROSS = 0.5  # between 0.3 and 0.6, tried on the validation digits; with 0.1 fewer images were correct


def spread(images: Tensor, label: Tensor) -> float:
    """Standard deviation of a pixel among the images of one digit, mean of pixels and digits."""
    by_digit = [images[label.argmax(-1) == digit].std(0).mean() for digit in range(CLASSES)]
    return torch.stack(by_digit).mean().item()


@torch.no_grad()
def across(model: MVAE, classifier: Classifier, digits: Digits) -> None:
    """Print the accuracy of each modality generated from the other."""
    data = digits._asdict()
    label = conditional_accuracy(model, data, ["image"], "label", nn.Identity())
    print(f"{'label from image':28}{label:9.2%}")
    z = model.encode(data, ["label"], samples=1, generator=torch.Generator().manual_seed(0))
    images = (model.decode(z, ["image"])["image"][0] > 0.5).float()
    print(f"{'image from label':28}{accuracy(classifier, images, digits.label):9.2%}")
    print(f"{'classifier, real digits':28}{accuracy(classifier, digits.image, digits.label):9.2%}")
    print(f"{'spread, image from label':28}{spread(images, digits.label):9.3f}")
    print(f"{'spread, real digits':28}{spread(digits.image, digits.label):9.3f}", flush=True)


def main() -> None:
    args = arguments(__doc__, epochs=10).parse_args()
    training, digits = digits_of(args)
    torch.manual_seed(0)
    model = MVAE(MODALITIES, cross=CROSS)
    fit(model, training._asdict(), batch=BATCH, epochs=args.epochs, lr=1e-3, annealing=Annealing(rounds=2),
        progress=report)  # fmt: skip
    across(model, digit_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
