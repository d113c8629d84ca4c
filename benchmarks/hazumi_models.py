"""What `hazumi.py` compares: models that are trained on a fold of people, and predict raters' answers.

Each takes a `Fold` and returns predictions of its validation and test people by pattern of missing
modalities. Networks have the same sizes, training and dropout.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch
from datasets.hazumi import QUESTIONS, RATERS, Session
from datasets.hazumi_steps import Steps
from numpy.typing import NDArray
from torch import Tensor, nn

from enrapt.contracts.errors import UserError
from enrapt.models import MMVRNN, MVAE, Annealing, Batch, Dropout, Ensemble, Modality, Model
from enrapt.models.baselines import PENALTIES, GRURegressor
from enrapt.models.config import ARRAYS, Config, EarlyStopping, Training
from enrapt.models.data import Arrays
from enrapt.models.missing import bursts
from enrapt.models.target import HALF_WIDTH
from enrapt.models.training import Trainer

ALWAYS: Final = ("clock", "length")  # never missing
PATTERNS: Final = {m: (*ALWAYS, *of) for m, of in {
    "all": ("face", "voice"), "face": ("face",), "voice": ("voice",), "bursts": ("face", "voice"),
}.items()}  # fmt: skip
BURST, GAP = 4.0, 8.0  # exchanges, mean
MEMBERS: Final = 5  # of an ensemble
FEW: Final = 0.3  # share of labelled exchanges
HIDDEN, LATENT = 64, 16
EPOCHS, STREAMS, SEGMENT, LEARNING_RATE, DECAY = 16, 32, 41, 5e-3, 0.01
DROP_INPUT, DROP = 0.2, 0.3
ANSWER, RECONSTRUCTION = 300.0, 0.3  # λ of each question, of face and voice; β is 1
MIXED: Final = Dropout(absent=0.2, bursts=0.2, frames=0, burst_seconds=BURST, target=1, keep=ALWAYS)
NONE: Final = Dropout(absent=0, bursts=0, frames=0, target=1)
IN_BURSTS: Final = Dropout(absent=0, bursts=1, frames=0, burst_seconds=BURST, target=1, keep=ALWAYS)


class Predicted(NamedTuple):
    """Of the raters' answers: mean and central 90 % of each, `[N, T, 5]`, or of any rater, `[N, T, 1]`."""

    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


Found = dict[tuple[str, str, str], Predicted]  # by part, pattern and question


class Fold:
    """Steps of a fold's people: `training`, `validation`, `test`."""

    def __init__(self, steps: Steps, sessions: dict[str, list[Session]], seed: int, number: int) -> None:
        self.dims, self.seed, self.number = steps.dims, seed, number
        self.batches = {part: steps(some) for part, some in sessions.items()}
        self.people = np.array([s.person for s in sessions["test"]])

    @property
    def name(self) -> str:
        """Of files: the fold, the seed, and a checksum of whose answers are in it."""
        checksum = 0
        for batch in self.batches.values():
            for question in QUESTIONS:
                checksum = zlib.crc32(batch.x[question].numpy().tobytes(), checksum)
        return f"fold{self.number}_seed{self.seed}_{checksum:08x}"

    def truth(self, part: str, question: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Answers `[N, T, 5]`, and where there are any."""
        batch = self.batches[part]
        return batch.x[question].numpy(), batch.available[question].numpy()

    def seen(self, part: str, pattern: str) -> Batch:
        """What a model is given of a part."""
        batch = self.batches[part].given(PATTERNS[pattern])
        if pattern != "bursts":
            return batch
        rng = np.random.default_rng((self.seed, self.number, *part.encode()))
        available = dict(batch.available)
        for m in sorted(set(available) - {*ALWAYS}):
            hidden = bursts(rng, *available[m].shape, BURST, GAP)
            available[m] = available[m] & ~torch.from_numpy(hidden.copy())
        return Batch(batch.x, available)


# ---- networks


def inputs(dims: dict[str, int], names: Sequence[str], contexts: bool = True) -> list[Modality]:
    """Modalities of a model; those that are always there as contexts, or observed."""
    found = []
    for name in names:
        dim, always = dims[name], name in ALWAYS
        layers = [nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Dropout(DROP)]
        encoder = nn.Sequential(*layers) if always else nn.Sequential(nn.Dropout(DROP_INPUT), *layers)
        role = "context" if always and contexts else "observed"
        found.append(Modality(name, dim, role, "normal", RECONSTRUCTION, encoder=encoder))
    return [*found, *(Modality(q, RATERS, "target", "normal", ANSWER) for q in QUESTIONS)]


def train(
    model: Model,
    sizes: Any,
    fold: Fold,
    names: Sequence[str],
    dropout: Dropout,
    labels: float,
    seed: int | None = None,
) -> None:
    """Train on those modalities, with that share of the labels, until the targets' validation ends it."""
    names = (*names, *QUESTIONS)
    training, validation = (fold.batches[part].given(names) for part in ("training", "validation"))
    if labels < 1:
        rng = np.random.default_rng((fold.seed, fold.number))
        few = torch.from_numpy(rng.random(training.available["clock"].shape) < labels)
        kept = {m: there & few if m in QUESTIONS else there for m, there in training.available.items()}
        training = Batch(training.x, kept)
    settings = Training(
        data=ARRAYS, rounds=EPOCHS, streams=STREAMS, epochs=True, segment_ticks=SEGMENT, clip=150.0,
        learning_rate=LEARNING_RATE, warmup_rounds=1, weight_decay=DECAY,
        annealing=Annealing("linear", rounds=EPOCHS // 2),
        early_stopping=EarlyStopping(every=2, patience=3, of="targets"),
        dropout=dropout if model.axes == 2 else Dropout(),
    )  # fmt: skip
    config = Config(1, "hazumi", "exchanges", 1, sizes, settings)
    seed = fold.seed if seed is None else seed
    Trainer(config, seed, None, model, Arrays(training, validation, STREAMS)).run(lambda progress: None)
    model.eval()


@torch.no_grad()
def predicted(model: Any, fold: Fold, patterns: Sequence[str]) -> Found:
    """By a model's filter."""
    found = {}
    for part in ("validation", "test"):
        for pattern in patterns:
            batch = fold.seen(part, pattern)
            shape = batch.available["clock"].shape
            steps = batch if model.axes == 2 else batch.flattened()
            for question, p in model.filter(steps).prediction.items():
                values = (v.reshape(*shape, RATERS).numpy() for v in (p.mean, p.low, p.high))
                found[part, pattern, question] = Predicted(*values)
    return found


def vrnn(fold: Fold, pattern: str | None = None, labels: float = 1.0, member: int = 0) -> MMVRNN:
    """An MM-VRNN trained for all patterns, or for one alone; members differ in first weights and noise."""
    seed = fold.seed + 1000 * member
    torch.manual_seed(seed)
    names = PATTERNS[pattern or "all"]
    model = MMVRNN(inputs(fold.dims, names), hidden=HIDDEN, latent=LATENT, reweight=True)
    dropout = MIXED if pattern is None else IN_BURSTS if pattern == "bursts" else NONE
    train(model, model.config, fold, names, dropout, labels, seed)
    return model


def ours(fold: Fold, pattern: str | None = None, labels: float = 1.0) -> Found:
    """An MM-VRNN of all patterns, or of one alone."""
    return predicted(vrnn(fold, pattern, labels), fold, [pattern] if pattern else [*PATTERNS])


def ensemble(fold: Fold, labels: float = 1.0) -> Found:
    """Five MM-VRNNs of all patterns."""
    members = [vrnn(fold, labels=labels, member=member) for member in range(MEMBERS)]
    return predicted(Ensemble(members).eval(), fold, [*PATTERNS])


def gru(fold: Fold, labels: float = 1.0) -> Found:
    """A GRU of all patterns."""
    torch.manual_seed(fold.seed)
    modalities = inputs(fold.dims, PATTERNS["all"])
    sizes = MMVRNN(modalities, hidden=HIDDEN, latent=LATENT).config  # of which the training takes modalities
    model = GRURegressor(sizes.modalities, HIDDEN)
    layer, relu = model.phi
    model.phi = nn.Sequential(nn.Dropout(DROP_INPUT), layer, relu, nn.Dropout(DROP))
    train(cast(Model, model), sizes, fold, PATTERNS["all"], MIXED, labels)
    return predicted(model, fold, [*PATTERNS])


def mvae(fold: Fold) -> Found:
    """An MVAE of single exchanges."""
    torch.manual_seed(fold.seed)
    modalities = inputs(fold.dims, PATTERNS["all"], contexts=False)
    model = MVAE(modalities, hidden=[HIDDEN], latent=LATENT, cross=1.0, reweight=True)
    train(model, model.config, fold, PATTERNS["all"], NONE, 1.0)
    return predicted(model, fold, [*PATTERNS])


# ---- regressions


def features(batch: Batch, masks: dict[str, Tensor]) -> Tensor:
    """Of each modality its values, 0 where missing, their exponential mean, and whether it is there."""
    columns = []
    for name, mask in masks.items():
        there = mask.unsqueeze(-1).double()
        x = batch.x[name].double() * there
        mean, means = torch.zeros_like(x[:, 0]), []
        for value, known in zip(x.unbind(1), there.unbind(1), strict=True):
            mean = mean + 0.3 * known * (value - mean)
            means.append(mean)
        columns += [x, torch.stack(means, 1), there]
    return torch.cat(columns, -1)


def of_clock(columns: slice, batch: Batch, masks: dict[str, Tensor]) -> Tensor:
    """Some columns of the clock."""
    return batch.x["clock"][..., columns].double()


def intervals(fold: Fold, means: dict[tuple[str, str, str], NDArray[np.float64]]) -> Found:
    """Of any rater's answer, as wide as the validation people's answers ask for."""
    found = {}
    for (part, pattern, question), mean in means.items():
        truth, known = fold.truth("validation", question)
        errors = (truth - means["validation", pattern, question])[known]
        reach = HALF_WIDTH * float(np.sqrt(np.square(errors).mean()))
        values = (v.astype(np.float32) for v in (mean, mean - reach, mean + reach))
        found[part, pattern, question] = Predicted(*values)
    return found


def ridge(fold: Fold, kind: Callable[..., Tensor] = features, names: Sequence[str] = ()) -> Found:
    """Ridge regression for each pattern, or on modalities that are always there."""
    means = {}
    for pattern in ["all"] if names else [*PATTERNS]:
        x = {}
        for part in fold.batches:
            batch = fold.seen(part, pattern)
            x[part] = kind(batch, {m: batch.available[m] for m in (names or batch.x)}).float().numpy()
        answers = [fold.truth("training", question) for question in QUESTIONS]
        known = np.logical_and.reduce([there for _, there in answers])
        fitted = penalised(x["training"][known], np.stack([truth[known].mean(-1) for truth, _ in answers], 1))
        for question, weights in zip(QUESTIONS, fitted, strict=True):
            truth, known = fold.truth("validation", question)
            errors = np.square(linear(x["validation"][known], weights) - truth[known].mean(-1, keepdims=True))
            best = weights[:, [errors.mean(0).argmin()]]
            for part in ("validation", "test"):
                means[part, pattern, question] = linear(x[part], best)
    return intervals(fold, means)


def penalised(x: NDArray[np.float32], y: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Of each column of y, the weights of ridge regressions on standardised x `[N, F]`, then the intercept, a
    column for each of `PENALTIES`."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / std
    strength, axes = np.linalg.eigh((z.T @ z / len(z)).astype(np.float64))
    along = axes.T @ (z.T @ (y - y.mean(0)) / len(z))
    found = []
    for of_one, usual in zip(along.T, y.mean(0), strict=True):
        weights = axes @ (of_one[:, None] / (strength[:, None] + PENALTIES)) / std[:, None]
        found.append(np.concatenate([weights, float(usual) - mean[None] @ weights]))
    return found


def linear(x: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predictions `[…, columns]`."""
    return np.asarray(x @ weights[:-1] + weights[-1])


def boosting(fold: Fold) -> Found:
    """Gradient boosting with everything there.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor
    except ImportError:
        raise UserError(
            "boosting needs scikit-learn: pip install scikit-learn, or leave it out of --models"
        ) from None
    means = {}
    x = {p: features(b := fold.seen(p, "all"), b.available).float().numpy() for p in fold.batches}
    for question in QUESTIONS:
        truth, known = fold.truth("training", question)
        forest = HistGradientBoostingRegressor(
            learning_rate=0.08, max_iter=120, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0,
            max_features=0.2, random_state=fold.seed,
        ).fit(x["training"][known], truth[known].mean(-1))  # fmt: skip
        for part in ("validation", "test"):
            flat = forest.predict(x[part].reshape(-1, x[part].shape[-1]))
            means[part, "all", question] = flat.reshape(*x[part].shape[:2], 1)
    return intervals(fold, means)


MODELS: Final[dict[str, Callable[[Fold], Found]]] = {
    "panel": partial(ridge, kind=partial(of_clock, slice(6, None)), names=["clock"]),
    "clock": partial(ridge, kind=partial(of_clock, slice(None)), names=["clock"]),
    "length": partial(ridge, names=ALWAYS),
    "ridge": ridge,
    "boosting": boosting,
    "mvae": mvae,
    "gru": gru,
    "ours": ours,
    "five": ensemble,
    "ours face": partial(ours, pattern="face"),
    "ours voice": partial(ours, pattern="voice"),
    "ours bursts": partial(ours, pattern="bursts"),
    "gru 30 %": partial(gru, labels=FEW),
    "ours 30 %": partial(ours, labels=FEW),
    "five 30 %": partial(ensemble, labels=FEW),
}
