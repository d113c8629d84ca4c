"""Initial weights of MVAE and DMVAE: which ones for hidden layers, and which for last layers.

    python benchmarks/initialisation.py MNIST_FOLDER [--features TABLE.npz] [--candidates NAME …] [--seeds N]
        [--rates RATE …] [--hidden WIDTH …] [--digits N]

A candidate is HIDDEN/HEAD/OUTPUT, each a name in `WEIGHTS` or `default`, PyTorch's: of hidden layers, of
encoders' last layers, which give the means and raw precisions of posteriors, and of decoders' last layers.
With a 0 after its name, as in he/default0/default0, raw precisions and raw scales start at 0.

Features: an .npz of one array `[N, D]` for each modality and `people`, `[N]`, whose they are. A fifth of the
people are for validation, 4,096 samples of the others for training, 10 epochs. Normal and Laplace
likelihoods, each learning rate, gradients clipped at a norm of 200 and not clipped.

MNIST, binarised: models and settings of mnist_mvae.py and mnist_dmvae.py, 6 epochs of the first N digits.
Validation is on the last 2,000 training digits; log p of 500 of them is by importance sampling, 100 samples.

One table of means over seeds: a row is a setting, a column a candidate. Losses are those on validation data,
nats, at β 1: lower is better. `!` marks a setting in which the mean loss of an epoch exceeded 10,000 nats,
and `inf` one in which training ended because the loss was not finite.
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from datasets.mnist import CLASSES, PIXELS, load_mnist
from torch import Tensor, nn

from enrapt.contracts.errors import UserError
from enrapt.models import DMVAE, MVAE, Modality, fit
from enrapt.models.likelihoods import SCALED
from enrapt.models.training import Progress

WEIGHTS: Final[dict[str, Callable[[Tensor], object]]] = {  # and biases of 0
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "lecun": partial(nn.init.kaiming_normal_, nonlinearity="linear"),
    "xavier": nn.init.xavier_normal_,
    "small": partial(nn.init.normal_, std=0.01),
    "zero": nn.init.zeros_,
}
CANDIDATES: Final = ("default/default/default", "he/he/he", "he/default0/default0")  # the last is ours
MODELS: Final = (MVAE, DMVAE)
CLIPS: Final = {"clipped": 200.0, "unclipped": 1e6}
EXPLODED: Final = 1e4  # nats; a unit Gaussian for every value has 200 to 300
BATCH: Final = 128
SAMPLES: Final = (4_096, 1_024)  # of features, for training and validation

Values = dict[str, Tensor]
Rows = Iterator[tuple[str, float, bool]]  # setting, number, whether an epoch exploded


def initialise(model: MVAE | DMVAE, candidate: str) -> None:
    """Draw a model's weights anew."""
    hidden, head, output = candidate.split("/")
    for layer in linear(model):
        draw(layer, hidden)
    for m in model.modalities:
        draw(linear(model.encoder[m.name])[-1], head, scales=True)
        draw(linear(model.decoder[m.name])[-1], output, scales=m.likelihood in SCALED)


def draw(layer: nn.Linear, kind: str, scales: bool = False) -> None:
    """Draw a layer's weights; the second half of its outputs may be raw scales or precisions."""
    layer.reset_parameters()
    if kind.rstrip("0") != "default":
        WEIGHTS[kind.rstrip("0")](layer.weight)
        nn.init.zeros_(layer.bias)
    if kind.endswith("0") and scales:
        half = layer.out_features // 2
        nn.init.zeros_(layer.weight[half:])
        nn.init.zeros_(layer.bias[half:])


def linear(network: nn.Module) -> list[nn.Linear]:
    """The linear layers of a network, in order."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


class Outcome(NamedTuple):
    """Validation losses before and after training, and the highest mean loss of an epoch of training."""

    first: float
    last: float
    peak: float


def train(model: MVAE | DMVAE, data: Values, validation: Values, **options: Any) -> Outcome:
    """A model trained from the weights that it has."""
    model.fit_normalisation(model.batch(data))
    with torch.no_grad():
        first = model.loss(validation, generator=torch.Generator().manual_seed(0)).total.item()
    try:
        history = fit(model, data, validation=validation, batch=BATCH, **options)
    except UserError:
        return Outcome(first, math.inf, math.inf)
    return Outcome(first, history[-1]["validation"], max(epoch["loss"] for epoch in history))


def load_features(table: Path) -> tuple[Values, Values]:
    """Samples for training, and those of other people for validation."""
    arrays = dict(np.load(table))
    _, person = np.unique(arrays.pop("people"), return_inverse=True)
    rng = np.random.default_rng(0)
    aside = np.isin(person, rng.permutation(person.max() + 1)[: person.max() // 5])
    parts = [
        rng.permutation(np.flatnonzero(which))[:count]
        for which, count in zip((~aside, aside), SAMPLES, strict=True)
    ]
    training, validation = ({k: torch.from_numpy(v[part]) for k, v in arrays.items()} for part in parts)
    return training, validation


def of_features(candidate: str, seed: int, table: Path, rates: list[float], hidden: list[int]) -> Rows:
    """Results of a candidate on a table of features."""
    data, validation = load_features(table)
    for kind, likelihood in product(MODELS, ("normal", "laplace")):
        modalities = [Modality(name, v.shape[1], likelihood=likelihood) for name, v in data.items()]
        name, first = f"{kind.__name__}, {likelihood}", None
        for (clip, norm), rate in product(CLIPS.items(), rates):
            torch.manual_seed(seed)
            model = kind(modalities, hidden=tuple(hidden))
            initialise(model, candidate)
            outcome = train(model, data, validation, epochs=10, lr=rate, clip=norm, seed=seed)
            if first is None:
                first = outcome.first
                yield f"{name}, first loss", first, False
            yield f"{name}, {clip}, {rate:g}", outcome.last, outcome.peak > EXPLODED


def of_digits(candidate: str, seed: int, folder: Path, digits: int) -> Rows:
    """Results of a candidate on MNIST."""
    whole, _ = load_mnist(folder)
    data, validation = whole.part(0, digits)._asdict(), whole.part(58_000, 60_000)._asdict()
    modalities = [
        Modality("image", PIXELS, likelihood="bernoulli"),
        Modality("label", CLASSES, likelihood="categorical", weight=50.0, private=0),
    ]
    for kind in MODELS:
        torch.manual_seed(seed)
        if kind is MVAE:
            model: MVAE | DMVAE = MVAE(modalities, cross=0.5)
        else:
            model = DMVAE(modalities, shared=6, private=10, gamma=10.0)

        def after(done: Progress, model: MVAE | DMVAE = model) -> None:
            if isinstance(model, DMVAE):
                model.gamma = max(2.0, 10.0 - 2.0 * done.round)

        initialise(model, candidate)
        outcome = train(model, data, validation, epochs=6, lr=1e-3, seed=seed, progress=after)
        name = f"MNIST, {kind.__name__}"
        yield f"{name}, first loss", outcome.first, False
        yield f"{name}, last loss", outcome.last, False
        for of in (("image",), ("image", "label")):
            some = {m: validation[m][:500] for m in of}
            nats = model.log_likelihood(some, samples=100, generator=torch.Generator().manual_seed(0))
            yield f"{name}, log p({', '.join(of)})", nats.mean().item(), False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--candidates", nargs="+", default=CANDIDATES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 1e-3, 3e-3, 1e-2])
    parser.add_argument("--hidden", nargs="+", type=int, default=[512, 256])
    parser.add_argument("--digits", type=int, default=20_000, help="of MNIST for training; 0 leaves it out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, list[tuple[float, bool]]]] = defaultdict(lambda: defaultdict(list))
    for candidate, seed in product(args.candidates, range(args.seeds)):
        if args.features:
            for name, number, exploded in of_features(
                candidate, seed, args.features, args.rates, args.hidden
            ):
                results[name][candidate].append((number, exploded))
        if args.digits:
            for name, number, exploded in of_digits(candidate, seed, args.folder, args.digits):
                results[name][candidate].append((number, exploded))
        print(f"{candidate}, seed {seed}: done", file=sys.stderr, flush=True)
    wide = max(map(len, args.candidates))
    print(" " * 40, *(f"{candidate:>{wide}}" for candidate in args.candidates), sep="  ")
    for name, row in results.items():
        cells = []
        for candidate in args.candidates:
            numbers, exploded = zip(*row[candidate], strict=True)
            cells.append(f"{np.mean(numbers):.2f}{'!' if any(exploded) else ' '}")
        print(f"{name:40}", *(f"{cell:>{wide}}" for cell in cells), sep="  ")


if __name__ == "__main__":
    main()
