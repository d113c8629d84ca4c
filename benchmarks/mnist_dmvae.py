"""DMVAE of image and label on binarised MNIST: likelihoods, and whether the private latent is style.

    python benchmarks/mnist_dmvae.py DATA_FOLDER [--epochs N] [--digits validation|test]

Data, classifier and estimator are those of mnist_mvae.py. Two digits swap the image's private latents, both
at their posteriors' means; the classifier should still read the digit that the shared latent came from. For
it to mean something, the private latent must matter: the change that it makes to the picture is printed too,
beside the change that the shared latent makes.
"""

import argparse
from pathlib import Path

import torch
from mnist_mvae import TRAINING, accuracy, fit, likelihoods, seen, train_classifier
from torch import Tensor, nn

from enrapt.models.datasets.mnist import CLASSES, PIXELS, Digits, load_mnist
from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.modality import Modality

MODALITIES = (
    Modality("image", PIXELS, likelihood="bernoulli"),
    # This weight and the latents' sizes were chosen together, on the validation digits.
    Modality("label", CLASSES, likelihood="categorical", weight=50.0),
)


@torch.no_grad()
def swaps(model: DMVAE, classifier: nn.Module, digits: Digits) -> None:
    """Print which digit is read after a swap with another digit of the data, shuffled."""
    z, _ = model.posterior(*seen(digits, "image"))
    own = model.decode(z)["image"]
    print(f"{'label from image':28}{accuracy(model.decode(z)['label'], digits.label):9.2%}")
    print(f"{'own reconstruction':28}{accuracy(classifier((own > 0.5).float()), digits.label):9.2%}")
    other = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(0))]
    swapped = model.decode(model.swap(z, other))["image"]
    print(f"{'private latents swapped':28}{accuracy(classifier((swapped > 0.5).float()), digits.label):9.2%}")
    shared_swapped = model.decode(model.swap(other, z))["image"]
    for name, picture in {"private": swapped, "shared": shared_swapped}.items():
        change = (picture - own).abs().mean() * own.shape[-1]
        print(f"{f'pixels changed by {name}':28}{change:9.1f}", flush=True)


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

    model = DMVAE(DMVAEConfig(MODALITIES, private=(10, 0), shared=10))

    def loss(batch: Digits, beta: float) -> Tensor:
        noise = torch.randn(len(model.sources), len(batch.image), model.latent)
        return model.loss(*seen(batch, "image", "label"), noise, beta).total

    fit(model, loss, training, args.epochs, 1e-3, warmup=1)
    swaps(model, train_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
