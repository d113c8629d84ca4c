"""Training by truncated back-propagation through time: rounds of sessions, split into segments.

Everything random in a round follows from (seed, round): a run repeats bit for bit on the same machine and
number of threads, and a run resumed from its checkpoint ends in the same weights as an uninterrupted one.
"""

import contextlib
import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..contracts.errors import UserError, one_line
from ..contracts.files import write_atomically
from ..contracts.regular import open_regular
from ..contracts.schemas import SCHEMAS
from .checked import Seed
from .config import Config, Model, build, load_config
from .data import Batch, load_data
from .forward_filter import ForwardFilter, ForwardFilterConfig
from .likelihoods import LOCATION_SCALE
from .mdvae import MDVAE
from .missing import modality_dropout
from .modality import Modality
from .objective import Cost, initial_state, objective

MAX_BYTES: Final = 2**28  # of a file in a run's folder; a checkpoint has three numbers a parameter
# Least standard deviation of a dimension: one that is almost constant must not be amplified. Of a schema
# in its units, 0.01 of a blendshape or radian; of other data as a share of what is usual for the modality.
SCALE_FLOOR: Final = 0.01


class Progress(NamedTuple):
    """Reported after every round."""

    round: int
    rounds: int
    metrics: dict[str, float]


def fit_normalisation(model: Model, config: Config, batch: Batch) -> None:
    """Set mean and standard deviation of the location-scale modalities; others are not normalised."""
    for modality in config.model.modalities:
        if modality.likelihood not in LOCATION_SCALE:
            continue
        values = batch.x[modality.name][batch.available[modality.name]]
        if len(values) > 1:
            model.normalise(modality.name, values.mean(0), _scales(values.std(0), modality))


def _scales(std: Tensor, modality: Modality) -> Tensor:
    """The standard deviations `[D]` by which a modality is divided."""
    usual = 1.0 if modality.schema in SCHEMAS or not std.any() else std[std > 0].median().item()
    return std.clamp(min=SCALE_FLOOR * usual)


def hide(rng: np.random.Generator, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Where the encoders see what is available: modality dropout; a target is hidden by whole sequences."""
    dropout = config.training.dropout
    fed = {}
    for modality in config.model.modalities:
        available = batch.available[modality.name]
        streams, ticks = available.shape
        if modality.role == "target":
            hidden = np.broadcast_to(rng.random((streams, 1)) < dropout.target, (streams, ticks))
        else:
            hidden = modality_dropout(rng, streams, ticks, config.rate, dropout)
        fed[modality.name] = available & ~torch.from_numpy(hidden.copy())
    return fed


class Trainer:
    """One run in a folder: `config.json`, `run.json`, `metrics.jsonl`, `checkpoint.safetensors`, with early
    stopping `best.safetensors`, and at the end `model.safetensors`.

    Args:
        folder: created if missing; an unfinished run in it is resumed, and one of fewer rounds continued. The
            learning rate then follows the schedule of the longer run from there on.
        smoother: for a forward filter: a trained MDVAE with its `smoother` configuration.

    Raises:
        UserError: the folder contains a run of another configuration or seed, is damaged or cannot be
            written; the data are missing or invalid; the model is too large; a forward filter without a
            smoother.
    """

    def __init__(self, config: Config, seed: int, folder: Path, smoother: MDVAE | None = None) -> None:
        if isinstance(config.model, ForwardFilterConfig) and smoother is None:
            raise UserError(f"{config.name}: a forward filter learns from a trained MDVAE: use enrapt distil")
        self.config, self.seed, self.folder = config, seed, folder
        self.data = load_data(config)  # may fail, so before the folder is created
        torch.manual_seed(seed)
        self.model = build(config.model)
        if (folder / "config.json").exists():
            stored = load_config(folder / "config.json")
            if run_seed(folder) != seed or _with_rounds(stored, config.training.rounds) != config:
                raise UserError(
                    f"{folder}: contains a run of another configuration or seed; give another folder"
                )
            if stored.training.rounds > config.training.rounds:
                raise UserError(
                    f"{folder}: contains a run of {stored.training.rounds} rounds; give as many or more"
                )
            if stored != config:
                if (model := folder / "model.safetensors").exists():  # it is not that of the longer run
                    model.rename(folder / f"model_{stored.training.rounds}_rounds.safetensors")
                _write_json(json.loads(msgspec.json.encode(config)), folder / "config.json")
        else:
            with _written(folder):
                folder.mkdir(parents=True, exist_ok=True)
            _write_json({"seed": seed, "versions": versions()}, folder / "run.json")
            _write_json(json.loads(msgspec.json.encode(config)), folder / "config.json")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0, betas=(0.9, 0.99))
        self.round = 0
        self.skipped = 0
        self.best, self.waited = math.inf, 0  # early stopping: lowest loss, validations since
        if (folder / "checkpoint.safetensors").exists():
            self._restore()
        elif isinstance(self.model, ForwardFilter):
            assert smoother is not None
            self.model.smoother.load_state_dict(smoother.state_dict())
            self.model.start()
        else:
            fit_normalisation(self.model, config, self.data.moments(seed))

    def run(self, progress: Callable[[Progress], None]) -> None:
        """Train to the last round, or until early stopping, with a checkpoint after each round.

        Raises:
            UserError: a loss is not finite, after which no checkpoint is written; a file cannot be written.
        """
        log = self.folder / "metrics.jsonl"
        # A run killed between writing its metrics and its checkpoint repeats that round.
        done = _content(log).splitlines()[: self.round] if log.exists() else []
        write_atomically(log, b"".join(line + b"\n" for line in done))
        stopping = self.config.training.early_stopping
        while self.round < self.config.training.rounds and not self.stopped():
            metrics = self.train_round()
            if stopping and (self.round + 1) % stopping.every == 0:
                metrics["validation"] = self.validate()
            if not all(map(math.isfinite, metrics.values())) or not _finite(self.model.state_dict()):
                raise UserError(
                    f"{self.folder}: round {self.round + 1}: the loss is not finite, so the round is not "
                    "kept; lower learning_rate or clip, or look for extreme values in the data"
                )
            self.round += 1
            if "validation" in metrics:
                self.waited += 1
                if metrics["validation"] < self.best:
                    self.best, self.waited = metrics["validation"], 0
                    save_model(self.model, self.folder / "best.safetensors")
            with _written(log), log.open("a") as file:
                file.write(json.dumps({"round": self.round} | metrics) + "\n")
            self._save()
            progress(Progress(self.round, self.config.training.rounds, metrics))
        best = self.folder / "best.safetensors"
        if best.exists():
            load_weights(self.model, _read(best)[0], best)
        save_model(self.model, self.folder / "model.safetensors")

    def stopped(self) -> bool:
        """Whether early stopping has ended the training."""
        stopping = self.config.training.early_stopping
        return stopping is not None and self.waited >= stopping.patience

    def train_round(self) -> dict[str, float]:
        """One pass over the sessions of a round."""
        training = self.config.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.round, training.learning_rate, training.warmup_rounds, training.rounds
            )
        beta = training.annealing.at(self.round)
        batch = self.data.training(self.seed, self.round, training.streams)
        costs = self.walk(batch, np.random.default_rng((self.seed, self.round, 1)), beta, self.step)
        return costs | {"beta": beta, "skipped": float(self.skipped)}

    def step(self, cost: Cost) -> None:
        """One optimiser step; skipped and counted if the gradient is not finite."""
        self.optimizer.zero_grad()
        cost.total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            self.skipped += 1

    @torch.no_grad()
    def validate(self) -> float:
        """The loss on held-out people with β at its maximum; data and dropout are the same every time."""
        number, batch = next(iter(self.data.held_out(self.seed, "validation", groups=1)))
        rng = np.random.default_rng((self.seed, number, 2))
        return self.walk(batch, rng, self.config.training.annealing.beta, lambda cost: None)["loss"]

    def walk(
        self, batch: Batch, rng: np.random.Generator, beta: float, step: Callable[[Cost], None]
    ) -> dict[str, float]:
        """Process sessions segment by segment, carrying the state; returns the mean costs."""
        fed = hide(rng, batch, self.config)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        streams = len(next(iter(batch.available.values())))
        state = initial_state(self.model, streams)
        totals: dict[str, float] = {}
        ticks = self.config.training.segment_ticks
        segments, masks = batch.segments(ticks), Batch(batch.x, fed).segments(ticks)
        for part, mask in zip(segments, masks, strict=True):
            cost = objective(self.model, part, mask.available, state, rng, generator, beta)
            step(cost)
            state = cost.state
            if not all(torch.isfinite(s).all() for s in state):
                state = initial_state(self.model, streams)
            for key, value in ({"loss": cost.total} | cost.parts).items():
                totals[key] = totals.get(key, 0.0) + float(value.detach()) / len(segments)
        return totals

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        counts = {"round": self.round, "skipped": self.skipped, "waited": self.waited, "best": self.best}
        described = {k: repr(v) for k, v in counts.items()}
        _write(tensors, self.folder / "checkpoint.safetensors", described)

    def _restore(self) -> None:
        path = self.folder / "checkpoint.safetensors"
        tensors, described = _read(path)
        load_weights(
            self.model, {k.removeprefix("model."): v for k, v in tensors.items() if k[:6] == "model."}, path
        )
        for name, parameter in self.model.named_parameters():
            prefix = f"optimizer.{name}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if state:
                if {k: _described(v) for k, v in state.items()} != _adam(parameter) or not _finite(state):
                    raise UserError(f"{path}: damaged optimiser state of {name}; delete it to start again")
                self.optimizer.state[parameter] = state
        try:
            counts = msgspec.convert(described, _Counts, strict=False)
        except msgspec.ValidationError as error:
            raise UserError(f"{path}: damaged ({error}); delete it to start again") from None
        self.round, self.skipped, self.waited, self.best = msgspec.structs.astuple(counts)


def _with_rounds(config: Config, rounds: int) -> Config:
    training = msgspec.structs.replace(config.training, rounds=rounds)
    return msgspec.structs.replace(config, training=training)


def learning_rate(round_: int, peak: float, warmup: int, rounds: int) -> float:
    """Linear warm-up, then a half cosine down to 2 % of the peak (Loshchilov & Hutter 2017)."""
    if round_ < warmup:
        return peak * (round_ + 1) / (warmup + 1)
    share = (round_ - warmup) / max(rounds - warmup, 1)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def versions() -> dict[str, str]:
    """Versions of the software that computed the weights."""
    names = ("enrapt", "torch", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def save_model(model: nn.Module, path: Path) -> None:
    _write(dict(model.state_dict()), path, {})


def load_model(folder: Path) -> tuple[Config, Model]:
    """The configuration and trained model of a finished run.

    Raises:
        UserError: no finished run in the folder, or weights of another model.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no training run; give the output folder of `enrapt train`")
    config = load_config(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.exists():
        raise UserError(
            f"{folder}: training is not finished; resume it with `enrapt train` and the same folder"
        )
    model = build(config.model)
    tensors, _ = _read(path)
    load_weights(model, tensors, path)
    return config, model.eval()


def run_seed(folder: Path) -> int:
    """The seed that a run was started with.

    Raises:
        UserError: the folder's `run.json` is missing or damaged.
    """
    path = folder / "run.json"
    try:
        return msgspec.json.decode(_content(path), type=_Run).seed
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path}: damaged ({one_line(error)}); train again in another folder") from None


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights into a model.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape or type, or not finite.
    """
    expected = {k: _described(v) for k, v in model.state_dict().items()}
    found = {k: _described(v) for k, v in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path}: weights of another model: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'none')}"
            )
    if not _finite(tensors):
        raise UserError(f"{path}: weights are NaN or infinite; train again in another folder")
    model.load_state_dict(dict(tensors))


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def _adam(parameter: nn.Parameter) -> dict[str, str]:
    """An optimiser's state of a parameter, described."""
    return {"step": "float32 []"} | dict.fromkeys(("exp_avg", "exp_avg_sq"), _described(parameter))


class _Run(msgspec.Struct):
    seed: Seed


class _Counts(msgspec.Struct):
    """Of a checkpoint."""

    round: Annotated[int, msgspec.Meta(ge=0)]
    skipped: Annotated[int, msgspec.Meta(ge=0)]
    waited: Annotated[int, msgspec.Meta(ge=0)]
    best: Annotated[float, msgspec.Meta(ge=-1e300)]  # not NaN


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raises UserError for an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another folder") from None


def _content(path: Path) -> bytes:
    """Of a regular file that is not larger than a run's can be."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); train again in another folder") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not of a run")
    return data


def _write_json(content: object, path: Path) -> None:
    write_atomically(path, f"{json.dumps(content, indent=2)}\n".encode())


def _write(tensors: dict[str, Tensor], path: Path, described: dict[str, str]) -> None:
    write_atomically(path, save({k: v.contiguous() for k, v in tensors.items()}, described))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with open_regular(path) as file:
            if file.seek(0, 2) > MAX_BYTES:
                raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not of a run")
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except UserError:
        raise
    except Exception as error:  # the library's own error derives directly from Exception
        reason = one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); delete it to start again") from None
