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

from enrapt.models import DMVAE, Annealing, Modality, fit
from enrapt.models.coherence import conditional_accuracy
from enrapt.models.training import Progress

MODALITIES = (
    Modality("image", PIXELS, likelihood="bernoulli"),
    Modality("label", CLASSES, likelihood="categorical", weight=50.0, private=0),
)
# Between two sizes tried on the validation digits: 10 shared latents also encoded most of the style; with 4,
# fewer digits were recognised.
SHARED, PRIVATE = 6, 10

Rows = slice | Tensor


@torch.no_grad()
def swaps(model: DMVAE, classifier: Classifier, digits: Digits) -> None:
    """Print the accuracy after swaps with other digits, drawn at random."""
    data = digits._asdict()
    z = model.encode(data, ["image"])

    def image(shared: Rows, private: Rows) -> Tensor:
        """With the latents of these digits."""
        return model.decode({"shared": z.shared[shared], "image": z.private["image"][private]})["image"]

    every, random = slice(None), torch.randperm(len(z.shared), generator=torch.Generator().manual_seed(0))
    by_digit = digits.label.argmax(-1).argsort(stable=True)
    one, another = by_digit, by_digit.roll(1)  # the same digit, except for ten of them
    own, swapped, mixed = image(every, every), image(every, random), image(one, another)
    label = conditional_accuracy(model, data, ["image"], "label", nn.Identity())
    print(f"{'label from image':28}{label:9.2%}")
    print(f"{'classifier, real digits':28}{accuracy(classifier, digits.image, digits.label):9.2%}")
    print(f"{'reconstruction, no swap':28}{accuracy(classifier, own, digits.label):9.2%}")
    print(f"{'private latents swapped':28}{accuracy(classifier, swapped, digits.label):9.2%}")
    for name, changes in {
        "pixels changed by private": swapped - own,
        "pixels changed by shared": image(random, every) - own,
        "same digit, private's donor": mixed - own[another],
        "same digit, shared's donor": mixed - own[one],
    }.items():
        print(f"{name:28}{changes.abs().sum(-1).mean():9.1f}", flush=True)


def main() -> None:
    args = arguments(__doc__, epochs=14).parse_args()
    training, digits = digits_of(args)
    torch.manual_seed(0)
    model = DMVAE(MODALITIES, shared=SHARED, private=PRIVATE, gamma=10.0)

    def after(done: Progress) -> None:
        # The shared latent learns the digit while γ is high.
        model.gamma = max(2.0, 10.0 - 2.0 * done.round)
        report(done)

    fit(model, training._asdict(), batch=BATCH, epochs=args.epochs, lr=1e-3,
        annealing=Annealing("constant"), progress=after)  # fmt: skip
    swaps(model, digit_classifier(training), digits)
    likelihoods(model, digits)


if __name__ == "__main__":
    main()
