"""DMVAE of image and label on binarised MNIST: likelihoods, and whether the private latent encodes style.

    python benchmarks/mnist_dmvae.py DATA_FOLDER [--epochs N] [--digits validation|test]

Data, classifier and estimator are those of mnist_mvae.py. Two digits swap the image's private latents, at the
means of their posteriors; the classifier should still recognise the digit of the shared latent. As this is
trivial for a private latent without effect, the change that each latent makes to the image is printed too.
Two images of the same digit are swapped as well: the distance of the result to the donor of the private
latent, and to that of the shared latent.
"""

import torch
from datasets.mnist import CLASSES, PIXELS, Digits
from mnist_digits import accuracy, digits_and_epochs, fit, likelihoods, read, seen, train_classifier
from torch import Tensor, nn

from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.modality import Modality

# Between two sizes tried on the validation digits: 10 shared latents also encoded most of the style; with 4,
# fewer digits were recognised.
CONFIG = DMVAEConfig(
    (
        Modality("image", PIXELS, likelihood="bernoulli"),
        Modality("label", CLASSES, likelihood="categorical", weight=50.0),
    ),
    private=(10, 0),
    shared=6,
)


@torch.no_grad()
def swaps(model: DMVAE, classifier: nn.Module, digits: Digits) -> None:
    """Print the accuracy after swaps with other digits, drawn at random."""
    z, _ = model.posterior(*seen(digits, "image"))
    own = model.decode(z)["image"]
    print(f"{'label from image':28}{accuracy(model.decode(z)['label'], digits.label):9.2%}")
    print(f"{'classifier, real digits':28}{read(classifier, digits.image, digits.label):9.2%}")
    print(f"{'reconstruction, no swap':28}{read(classifier, own, digits.label):9.2%}")
    other = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(0))]
    swapped = model.decode(model.swap(z, other))["image"]
    print(f"{'private latents swapped':28}{read(classifier, swapped, digits.label):9.2%}")
    shared_swapped = model.decode(model.swap(other, z))["image"]
    by_digit = digits.label.argmax(-1).argsort(stable=True)
    one, another = by_digit, by_digit.roll(1)  # the same digit, except for ten of them
    mixed = model.decode(model.swap(z[one], z[another]))["image"]
    for name, changes in {
        "pixels changed by private": swapped - own,
        "pixels changed by shared": shared_swapped - own,
        "same digit, private's donor": mixed - own[another],
        "same digit, shared's donor": mixed - own[one],
    }.items():
        print(f"{name:28}{changes.abs().sum(-1).mean():9.1f}", flush=True)


def main() -> None:
    training, digits, epochs = digits_and_epochs(__doc__, epochs=14)
    torch.manual_seed(0)
    model = DMVAE(CONFIG)

    def loss(batch: Digits, epoch: float) -> Tensor:
        noise = torch.randn(len(model.sources), len(batch.image), model.latent)
        x, mask = seen(batch, "image", "label")
        # The shared latent learns the digit while γ is high.
        return model.loss(x, mask, noise, gamma=max(2.0, 10.0 - 2.0 * epoch)).total

    fit(model, loss, training, epochs)
    swaps(model, train_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
