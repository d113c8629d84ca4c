"""Baselines of a numeric target on recorded sessions: what a model has to be better than.

`mean`   the mean of the training labels
`clock`  a cubic polynomial of the time since the session's start: what changes in every session alike
`ridge`  ridge regression on means and standard deviations of every feature over the last 2 s and 10 s
`gru`    a recurrent network of the model's hidden size, trained with the model's settings on the target alone

Linear ones are fitted by the training people's labels, each set of modalities by itself, also under bursts
of missing data; their penalty and the width of their intervals come from validation people. The last value
of the label is no baseline: it is not known live.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import run_folder
from .batch import Batch
from .causal import Causal, Filtered
from .config import ARRAYS, SIMULATED, Config
from .data import Recordings
from .evaluation import Group, Predicted, Predictions, Scores, held_out, patterns, predict, target_scores
from .likelihoods import SCALED, parameters, width
from .losses import Losses, masked_mean
from .modality import Modality
from .model import Model, State
from .normalised import CLIP, Normalised, Values
from .target import HALF_WIDTH, predictive
from .training import Progress, Trainer

Array = NDArray[np.float64]
Features = Callable[[Batch, dict[str, Tensor]], Tensor]  # `[P, T, F]` of a batch under masks

WINDOWS: Final = (2.0, 10.0)  # s
PENALTIES: Final = 10.0 ** np.arange(-5, 3)  # of standardised features
GRU: Final = "gru"  # its folder in that of the run


class Sums:
    """Sums over labelled ticks, by which linear regressions are fitted and scored: of [1, features] and y."""

    def __init__(self, features: int) -> None:
        self.xx, self.xy, self.yy = np.zeros((features + 1, features + 1)), np.zeros(features + 1), 0.0

    def add(self, x: Array, y: Array) -> None:
        """x `[N, F]`, y `[N]`."""
        with_one = np.concatenate([np.ones((len(x), 1)), x], 1)
        self.xx += with_one.T @ with_one
        self.xy += with_one.T @ y
        self.yy += float(y @ y)

    def ridge(self, penalty: float) -> Array:
        """Intercept and weights, `[F + 1]`."""
        n = max(self.xx[0, 0], 1.0)
        mean, y_mean = self.xx[0, 1:] / n, self.xy[0] / n
        covariance = self.xx[1:, 1:] / n - np.outer(mean, mean)
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        scaled = covariance / np.outer(spread, spread) + penalty * np.eye(len(mean))
        weights = np.linalg.solve(scaled, (self.xy[1:] / n - mean * y_mean) / spread) / spread
        return np.concatenate([[y_mean - mean @ weights], weights])

    def error(self, weights: Array) -> float:
        """Mean squared error of a regression."""
        total = weights @ self.xx @ weights - 2 * weights @ self.xy + self.yy
        return float(max(total, 0.0) / max(self.xx[0, 0], 1.0))


class Linear:
    """A linear regression of one target for each set of modalities."""

    def __init__(self, target: Modality, features: Features) -> None:
        self.target, self.features = target, features
        self.fitted: dict[tuple[str, ...], tuple[Array, float]] = {}  # weights, standard deviation of errors

    def fit(self, training: Iterator[Group], validation: Iterator[Group]) -> None:
        """By the labels of groups of people."""
        by_part = [self._sums(groups) for groups in (training, validation)]
        for names, sums in by_part[0].items():
            unseen = by_part[1].get(names, sums)
            weights = min((sums.ridge(float(p)) for p in PENALTIES), key=unseen.error)
            self.fitted[names] = weights, float(np.sqrt(unseen.error(weights)))

    def _sums(self, groups: Iterator[Group]) -> dict[tuple[str, ...], Sums]:
        found: dict[tuple[str, ...], Sums] = {}
        for batch, seen in groups:
            known = batch.available[self.target.name].numpy()
            y = batch.x[self.target.name].double().numpy()[known][:, 0]
            for masks in seen.values():
                x = self.features(batch, masks).numpy()
                found.setdefault(tuple(masks), Sums(x.shape[-1])).add(x[known], y)
        return found

    def predict(self, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
        """As `evaluation.predict`."""
        weights, spread = self.fitted[tuple(seen)]
        mean = self.features(batch, seen).numpy() @ weights[1:, None] + weights[0]
        low, high = mean - HALF_WIDTH * spread, mean + HALF_WIDTH * spread
        if self.target.likelihood == "logit_normal":
            mean, low, high = (v.clip(0, 1) for v in (mean, low, high))
        return Predictions({self.target.name: Predicted(mean, low, high)}, {})


def nothing(batch: Batch, seen: dict[str, Tensor]) -> Tensor:
    """No features, `[P, T, 0]`."""
    return torch.zeros(*next(iter(seen.values())).shape, 0, dtype=torch.float64)


def clock(longest: int) -> Features:
    """Powers of the time since the start, in sessions of that many ticks."""

    def features(batch: Batch, seen: dict[str, Tensor]) -> Tensor:
        people, ticks = next(iter(seen.values())).shape
        at = (torch.arange(ticks, dtype=torch.float64) / longest).clamp(max=1)
        return torch.stack([at, at**2, at**3], -1).expand(people, -1, -1)

    return features


def windows(model: Normalised, rate: int) -> Features:
    """Mean and standard deviation of each feature, and the share that is present, over causal windows."""

    def features(batch: Batch, seen: dict[str, Tensor]) -> Tensor:
        columns = []
        for name, mask in seen.items():
            present = mask.unsqueeze(-1).double()
            x = model.encoder_input(name, batch.x[name].flatten(2), mask).double() * present
            for seconds in WINDOWS:
                size = max(round(seconds * rate), 1)

                def recent(v: Tensor, size: int = size) -> Tensor:
                    total = nn.functional.pad(v.cumsum(1), (0, 0, size, 0))
                    return total[:, size:] - total[:, :-size]

                count = recent(present)
                mean = recent(x) / count.clamp(min=1)
                square = recent(x.square()) / count.clamp(min=1)
                columns += [mean, (square - mean.square()).clamp(min=0).sqrt(), count / size]
        return torch.cat(columns, -1)

    return features


class GRURegressor(Normalised):
    """Normalised inputs, zeros where missing, and their masks → a layer → GRU → the likelihood of targets.

    As far as `Trainer` and `evaluation.predict` are concerned it is a causal model.
    """

    axes = 2

    def __init__(self, modalities: tuple[Modality, ...], size: int) -> None:
        super().__init__(modalities)
        self.inputs = [m for m in modalities if m.role != "target"]
        self.targets = tuple(m for m in modalities if m.role == "target")
        self.phi = nn.Sequential(nn.Linear(sum(m.dim + 1 for m in self.inputs), size), nn.ReLU())
        self.gru = nn.GRU(size, size, batch_first=True)
        self.head = nn.ModuleDict(
            {
                m.name: nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, outputs))
                for m in self.targets
                if (outputs := width(m.likelihood, m.dim))
            }
        )

    def batch(self, data: Batch) -> Batch:
        """On the module's device and in its type."""
        some = next(self.parameters())
        return data.to(some.device, some.dtype)

    def forward(self, x: Values, mask: Values, state: State = ()) -> tuple[Tensor, State]:
        """h after each tick, `[B, T, H]`, and the state."""
        some, h_like = next(iter(mask.values())), next(self.parameters())
        parts = []
        for m in self.inputs:
            seen = mask.get(m.name, torch.zeros_like(some))
            given = x[m.name].flatten(2) if m.name in x else h_like.new_zeros(*some.shape, m.dim)
            value = self.normalised(m.name, given, seen).clamp(-CLIP, CLIP)
            parts += [value, seen.unsqueeze(-1).to(value.dtype)]
        h, after = self.gru(self.phi(torch.cat(parts, -1)), *state)
        return h, (after,)

    def loss(
        self, batch: Batch, fed: Values, state: State, beta: float, generator: torch.Generator
    ) -> Losses:
        """−log p of the targets, weighted as in the model."""
        h, after = self(batch.x, fed, state)
        total, costs = h.new_zeros(()), {}
        for m in self.targets:
            if m.name in batch.x:
                seen = batch.available[m.name]
                spread = batch.spread.get(m.name)
                nats = self.nats(m, batch.x[m.name], seen, self.head[m.name](h), spread)
                costs[m.name] = masked_mean(nats, seen)
                total = total + m.weight * costs[m.name]
        if not total.requires_grad:  # no label in the segment
            total = total + 0 * h.sum()
        return Losses(total, h.new_zeros(()), costs, after)

    def filter(self, batch: Batch) -> Filtered:
        """The targets' predictions."""
        h, after = self(batch.x, batch.available)
        found = {}
        for m in self.targets:
            known = parameters(m.likelihood, self.head[m.name](h))
            found[m.name] = self.predicted(m, predictive(m.likelihood, known, torch.zeros_like(known[0])))
        return Filtered(found, h, torch.zeros_like(h), {}, after, {})


def trained_gru(config: Config, seed: int, run: Path, progress: Callable[[Progress], None]) -> GRURegressor:
    """The GRU of a run, trained with its settings; kept in the run's folder, so that this is done once."""
    torch.manual_seed(seed)
    size = getattr(config.model, "hidden", 64)
    gru = GRURegressor(config.model.modalities, size if isinstance(size, int) else max(size, default=64))
    path = run / GRU / "model.safetensors"
    if path.is_file():
        run_folder.load_weights(gru, run_folder.read(path)[0], path)
    else:
        Trainer(config, seed, run / GRU, cast(Model, gru)).run(progress)
    return gru.eval()


def baseline_scores(
    model: Causal,
    config: Config,
    seed: int,
    run: Path,
    people: Any = "test",
    progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Scores]:
    """Scores of each baseline, as `evaluation.evaluate` gives them of the model.

    Raises:
        UserError: as `Recordings`.
    """
    (target,) = model.targets
    data = Recordings(config, training=True)
    longest = max(len(v) for session in data.sessions for v in session.values())
    found: dict[str, Scores] = {}
    for name, features in (
        ("mean", nothing), ("clock", clock(longest)), ("ridge", windows(model, config.rate))
    ):  # fmt: skip
        linear = Linear(target, features)
        linear.fit(*(_sessions(config, data, seed, part) for part in ("train", "validation")))
        groups = held_out(config, data, seed, people)
        found[name] = target_scores(model.targets, groups, linear.predict)
    gru = cast(Causal, trained_gru(config, seed, run, progress))
    groups = held_out(config, data, seed, people)
    found[GRU] = target_scores(model.targets, groups, lambda batch, seen: predict(gru, batch, seen))
    return found


def applicable(model: Model, config: Config) -> bool:
    """Whether there are baselines: of one numeric target of recorded sessions."""
    targets = [m for m in model.targets if m.likelihood in SCALED and m.dim == 1]
    recorded = config.training.data not in (SIMULATED, ARRAYS)
    causal = isinstance(model, Causal) and model.axes == 2
    return causal and recorded and len(model.targets) == len(targets) == 1


def _sessions(config: Config, data: Recordings, seed: int, part: str) -> Iterator[Group]:
    """The labelled sessions of a part, one by one, under all patterns of missing modalities."""
    for number, session in enumerate(data.sessions if part == "train" else data.read(part)):
        batch = data.batch([session])
        if any(bool(batch.available[m.name].any()) for m in data.modalities if m.role == "target"):
            rng = np.random.default_rng((seed, number, 4))
            yield Group(batch, patterns(config.model.modalities, config.rate, batch, rng))
