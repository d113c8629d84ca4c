"""Training: rounds of fresh sessions, each walked through in segments with the state carried on.

Everything random in a round follows from (seed, round), so a run repeats bit for bit on the same machine
and number of threads, and one resumed from its checkpoint ends in the same weights as one never stopped.
"""

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..contracts.errors import UserError
from .config import Config, build, load_config
from .datasets import conversation
from .likelihoods import LOCATION_SCALE
from .missing import modality_dropout
from .mm_vrnn import MMVRNN

SCALE_FLOOR: Final = 0.01  # raw units; a dimension that hardly moves must not be blown up
MOMENT_SESSIONS: Final = 256  # sessions from which means and spreads are taken
MOMENT_STREAM: Final = 2**31 - 1  # the round number of those sessions: no training round has it


class Batch(NamedTuple):
    """Sessions side by side: raw values `[B, T, D]` and availability bool `[B, T]`, by modality."""

    x: dict[str, Tensor]
    available: dict[str, Tensor]

    def segments(self, ticks: int) -> list["Batch"]:
        length = next(iter(self.available.values())).shape[1]
        return [
            Batch(
                {k: v[:, t : t + ticks] for k, v in self.x.items()},
                {k: v[:, t : t + ticks] for k, v in self.available.items()},
            )
            for t in range(0, length, ticks)
        ]


class Progress(NamedTuple):
    """What is told after every round."""

    round: int
    rounds: int
    metrics: dict[str, float]


def simulate(config: Config, seed: int, round_: int, streams: int) -> Batch:
    """The sessions of one round."""
    ticks = round(config.training.session_seconds * config.rate)
    sessions = conversation.simulate(np.random.default_rng((seed, round_)), streams, ticks, config.rate)
    return Batch(
        {k: torch.from_numpy(v) for k, v in sessions.values.items()},
        {k: torch.from_numpy(v) for k, v in sessions.available.items()},
    )


def fit_normalisation(model: MMVRNN, config: Config, seed: int) -> None:
    """Take each input's mean and standard deviation from simulated sessions; shares and classes stay."""
    batch = simulate(config, seed, MOMENT_STREAM, MOMENT_SESSIONS)
    for modality in model.inputs:
        if modality.likelihood not in LOCATION_SCALE:
            continue
        values = batch.x[modality.name][batch.available[modality.name]]
        model.normalise(modality.name, values.mean(0), values.std(0).clamp(min=SCALE_FLOOR))


def hide(rng: np.random.Generator, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Where the encoders see what is available: modality dropout for inputs, whole sequences for targets."""
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
    """One run in a folder: `config.json`, `run.json`, `metrics.jsonl`, `checkpoint.safetensors`, and at the
    end `model.safetensors`.

    Args:
        folder: made if it is not there; an unfinished run in it is resumed.

    Raises:
        UserError: the folder holds a run of another configuration or seed, or is damaged.
    """

    def __init__(self, config: Config, seed: int, folder: Path) -> None:
        self.config, self.seed, self.folder = config, seed, folder
        described = {"seed": seed, "config": json.loads(msgspec.json.encode(config))}
        if (folder / "config.json").exists():
            if _described(folder) != described:
                raise UserError(
                    f"{folder}: holds a run of another configuration or seed; give another folder"
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _write_json({"seed": seed, "versions": versions()}, folder / "run.json")
            _write_json(described["config"], folder / "config.json")
        torch.manual_seed(seed)
        self.model = build(config.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0, betas=(0.9, 0.99))
        self.round = 0
        self.skipped = 0
        if (folder / "checkpoint.safetensors").exists():
            self._restore()
        else:
            fit_normalisation(self.model, config, seed)

    def run(self, progress: Callable[[Progress], None]) -> None:
        """Train to the last round, saving after each."""
        log = self.folder / "metrics.jsonl"
        # A run killed between writing its metrics and its checkpoint repeats that round.
        done = log.read_text().splitlines()[: self.round] if log.exists() else []
        log.write_text("".join(line + "\n" for line in done))
        while self.round < self.config.training.rounds:
            metrics = self.train_round()
            self.round += 1
            with log.open("a") as file:
                file.write(json.dumps({"round": self.round} | metrics) + "\n")
            self._save()
            progress(Progress(self.round, self.config.training.rounds, metrics))
        save_model(self.model, self.folder / "model.safetensors")

    def train_round(self) -> dict[str, float]:
        """One round: fresh sessions, walked through once."""
        training = self.config.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.round, training.learning_rate, training.warmup_rounds, training.rounds
            )
        beta = training.annealing.at(self.round)
        batch = simulate(self.config, self.seed, self.round, training.streams)
        rng = np.random.default_rng((self.seed, self.round, 1))
        fed = hide(rng, batch, self.config)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        state = self.model.initial_state(training.streams)
        totals: dict[str, float] = {}
        segments = batch.segments(training.segment_ticks)
        masks = Batch(batch.x, fed).segments(training.segment_ticks)
        for part, mask in zip(segments, masks, strict=True):
            shape = (*part.available[self.model.target.name].shape, self.config.model.latent)
            noise = torch.randn(shape, generator=generator)
            losses, state = self.model.loss(part.x, part.available, mask.available, state, noise, beta)
            state = state.detach()
            self.optimizer.zero_grad()
            losses.total.backward()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), training.clip)
            if torch.isfinite(norm):
                self.optimizer.step()
            else:
                self.skipped += 1
            if not torch.isfinite(state).all():
                state = self.model.initial_state(training.streams)
            terms = {"loss": losses.total, "kl": losses.kl} | {f"nll_{k}": v for k, v in losses.nll.items()}
            for key, value in terms.items():
                totals[key] = totals.get(key, 0.0) + float(value.detach()) / len(segments)
        return totals | {"beta": beta, "skipped": float(self.skipped)}

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        described = {"round": str(self.round), "skipped": str(self.skipped)}
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
                self.optimizer.state[parameter] = state
        self.round, self.skipped = int(described["round"]), int(described["skipped"])


def learning_rate(round_: int, peak: float, warmup: int, rounds: int) -> float:
    """Linear warm-up, then a half cosine down to 2 % of the peak (Loshchilov & Hutter 2017)."""
    if round_ < warmup:
        return peak * (round_ + 1) / (warmup + 1)
    share = (round_ - warmup) / max(rounds - warmup, 1)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def versions() -> dict[str, str]:
    """What computed the weights."""
    names = ("enrapt", "torch", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def save_model(model: nn.Module, path: Path) -> None:
    _write(dict(model.state_dict()), path, {})


def load_model(folder: Path) -> tuple[Config, MMVRNN]:
    """The configuration and the trained model of a finished run.

    Raises:
        UserError: not such a folder, or weights of another model.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no run there; give the folder of `enrapt train`")
    config = load_config(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.exists():
        raise UserError(
            f"{folder}: its training is not finished; go on with `enrapt train` and the same folder"
        )
    model = build(config.model)
    tensors, _ = _read(path)
    load_weights(model, tensors, path)
    return config, model.eval()


def run_seed(folder: Path) -> int:
    """The seed that a run was started with."""
    seed: int = json.loads((folder / "run.json").read_text())["seed"]
    return seed


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a model, or say which tensor does not fit.

    Raises:
        UserError: a tensor is missing, too many, or of another shape.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path}: weights of another model: {name} is {found.get(name, 'not there')}, "
                f"expected {expected.get(name, 'none')}"
            )
    model.load_state_dict(dict(tensors))


def _described(folder: Path) -> dict[str, Any]:
    """The seed and the configuration that a folder's run was started with."""
    return {"seed": run_seed(folder), "config": json.loads((folder / "config.json").read_text())}


def _write_json(content: object, path: Path) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def _write(tensors: dict[str, Tensor], path: Path, described: dict[str, str]) -> None:
    partial = path.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=described)
    partial.replace(path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # the library's own error is a direct child of Exception
        raise UserError(f"{path}: cannot be read ({error}); delete it to start anew") from None
