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
from mnist_digits import accuracy, digits_and_epochs, fit, likelihoods, read, seen, train_classifier
from torch import Tensor, nn

from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig

SUBSETS = (("image", "label"), ("image",), ("label",))  # two modalities have no other subsets
# `cross` is between 0.3 and 0.6, tried on the validation digits; with 0.1 fewer images were correct.
CONFIG = MVAEConfig(
    (
        Modality("image", PIXELS, likelihood="bernoulli"),
        Modality("label", CLASSES, likelihood="categorical", weight=50.0),
    ),
    cross=0.5,
)


def spread(images: Tensor, label: Tensor) -> float:
    """Standard deviation of a pixel among the images of one digit, mean of pixels and digits."""
    by_digit = [images[label.argmax(-1) == digit].std(0).mean() for digit in range(CLASSES)]
    return torch.stack(by_digit).mean().item()


@torch.no_grad()
def across(model: MVAE, classifier: nn.Module, digits: Digits) -> None:
    """Print the accuracy of each modality generated from the other."""
    mean, _ = model.posterior(*seen(digits, "image"))
    print(f"{'label from image':28}{accuracy(model.decode(mean)['label'], digits.label):9.2%}")
    mean, precision = model.posterior(*seen(digits, "label"))
    z = mean + torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)) * torch.rsqrt(precision)
    images = (model.decode(z)["image"] > 0.5).float()
    print(f"{'image from label':28}{read(classifier, images, digits.label):9.2%}")
    print(f"{'classifier, real digits':28}{read(classifier, digits.image, digits.label):9.2%}")
    print(f"{'spread, image from label':28}{spread(images, digits.label):9.3f}")
    print(f"{'spread, real digits':28}{spread(digits.image, digits.label):9.3f}", flush=True)


def main() -> None:
    training, digits, epochs = digits_and_epochs(__doc__, epochs=10)
    torch.manual_seed(0)
    model = MVAE(CONFIG)

    def loss(batch: Digits, epoch: float) -> Tensor:
        noise = torch.randn(len(SUBSETS), len(batch.image), CONFIG.latent)
        return model.loss(*seen(batch, "image", "label"), SUBSETS, noise, beta=min(1.0, epoch)).total

    fit(model, loss, training, epochs)
    across(model, train_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
