"""Training: rounds over data, each divided into batches and, for sequences, into segments.

Everything random in a round follows from (seed, round): a run repeats bit for bit on the same machine and
number of threads, and a run resumed from its checkpoint ends in the same weights as an uninterrupted one.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ..contracts.errors import UserError
from ..contracts.files import write_atomically
from . import run_folder
from .batch import Batch
from .calibration import calibrate, reset
from .checkpoint import Counts, read_checkpoint, write_checkpoint
from .config import Config, build, check_size, encode, load_config, model_class, portable
from .data import Data, load_data
from .losses import Losses
from .missing import hidden
from .model import Model


class Progress(NamedTuple):
    """Reported after every round."""

    round: int
    rounds: int
    metrics: dict[str, float]


class Trainer:
    """One run, with its files in a folder; see `run_folder`.

    Args:
        folder: created if missing; an unfinished run in it is resumed, and one of fewer rounds continued. The
            learning rate then follows the schedule of the longer run from there on. None keeps no files.
        model: trained from its weights as they are, but for those that `initial` of the configuration
            gives; by default a new one of the configuration.
        data: by default what the configuration names.

    Raises:
        UserError: the folder contains a run of another configuration or seed, is damaged or cannot be
            written; the data are missing or invalid; the model is too large, or learns from another one.
    """

    def __init__(
        self,
        config: Config,
        seed: int,
        folder: Path | None,
        model: Model | None = None,
        data: Data | None = None,
    ) -> None:
        kind = model_class(config.model)
        if model is None and kind.needs:
            raise UserError(f"{config.name}: {kind.needs}")
        self.config, self.seed, self.folder = config, seed, folder
        training = config.training
        self.device = training.torch_device
        self.data = data or load_data(config)  # may fail, so before the folder is created
        torch.manual_seed(seed)
        self.model = model or build(config.model)
        if folder is not None:
            check_size(self.model)  # which `load_run` checks as well
        checkpoint = folder / "checkpoint.safetensors" if folder is not None else None
        resumed = checkpoint is not None and checkpoint.exists()
        if training.initial is not None and not resumed:
            self._start_from(Path(training.initial))
        if training.precision == "float64":
            self.model.double()
        self.model.to(self.device)
        reset(self.model)  # a factor that it has is of other weights
        if folder is not None:
            self._open(folder)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        decay = config.training.weight_decay  # 0: plain Adam
        self.optimizer = torch.optim.AdamW(trained, lr=0.0, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        self.round = 0
        self.skipped = 0
        self.best, self.waited = math.inf, 0  # early stopping: lowest loss, validations since
        self.best_weights: dict[str, Tensor] | None = None
        self.widening: dict[str, float] = {}  # by target, once fitted
        if checkpoint is not None and resumed:
            counts = read_checkpoint(checkpoint, self.model, self.optimizer)
            self.round, self.skipped, self.waited, self.best = msgspec.structs.astuple(counts)
        else:
            self.model.fit_normalisation(self.data.moments(seed))

    def _open(self, folder: Path) -> None:
        """Write the run's configuration, or check that the folder has it."""
        config, rounds = self.config, self.config.training.rounds
        if not (folder / "config.json").exists():
            with run_folder.written(folder):
                folder.mkdir(parents=True, exist_ok=True)
            described = {"seed": self.seed, "versions": run_folder.versions()}
            run_folder.write_json(described, folder / "run.json")
            run_folder.write_json(json.loads(encode(portable(config, folder))), folder / "config.json")
            return
        stored = load_config(folder / "config.json")
        again = msgspec.json.decode(encode(config), type=Config)  # 1 is 1.0
        before, now = (portable(each, folder) for each in (_with_rounds(stored, rounds), again))
        if run_folder.run_seed(folder) != self.seed or encode(before) != encode(now):
            raise UserError(f"{folder}: contains a run of another configuration or seed; give another folder")
        if stored.training.rounds > rounds:
            raise UserError(
                f"{folder}: contains a run of {stored.training.rounds} rounds; give as many or more"
            )
        if stored.training.rounds < rounds:
            if (model := folder / "model.safetensors").exists():  # it is not that of the longer run
                model.rename(folder / f"model_{stored.training.rounds}_rounds.safetensors")
            run_folder.write_json(json.loads(encode(portable(config, folder))), folder / "config.json")

    def _start_from(self, folder: Path) -> None:
        """Take the weights of another run, where they have the same names and shapes.

        Raises:
            UserError: no finished run, or nothing fits.
        """
        path = folder / "model.safetensors"
        if not path.is_file():
            raise UserError(f"{folder}: no finished run to start from; give the folder of one in `initial`")
        own = self.model.state_dict()
        weights, _ = run_folder.read(path)
        fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise UserError(f"{folder}: a run of another model, of which no weights fit")
        self.model.load_state_dict(own | fitting)

    def run(self, progress: Callable[[Progress], None]) -> None:
        """Train to the last round, or until early stopping, with a checkpoint after each round.

        Raises:
            UserError: a loss is not finite, after which no checkpoint is written; a file cannot be written.
        """
        if self.folder is not None:
            self._shorten_log(self.folder / "metrics.jsonl")
        stopping = self.config.training.early_stopping
        while self.round < self.config.training.rounds and not self.stopped():
            metrics = self.train_round()
            if stopping and (self.round + 1) % stopping.every == 0:
                metrics["validation"] = self.validate()
            if not all(map(math.isfinite, metrics.values())) or not run_folder.finite(
                self.model.state_dict()
            ):
                raise UserError(
                    f"{self.folder or self.config.name}: round {self.round + 1}: the loss is not finite, so "
                    "the round is not kept; lower the learning rate or clip, or look for extreme values in "
                    "the data"
                )
            self.round += 1
            if "validation" in metrics:
                self.waited += 1
                if metrics["validation"] < self.best:
                    self.best, self.waited = metrics["validation"], 0
                    self._keep_best()
            if self.folder is not None:
                log = self.folder / "metrics.jsonl"
                with run_folder.written(log), log.open("a") as file:
                    file.write(json.dumps({"round": self.round} | metrics) + "\n")
                counts = Counts(self.round, self.skipped, self.waited, self.best)
                write_checkpoint(self.folder / "checkpoint.safetensors", self.model, self.optimizer, counts)
            progress(Progress(self.round, self.config.training.rounds, metrics))
        self._take_best()
        if self.config.training.calibrate:
            self.widening = calibrate(self.model, self.data, self.config.rate, self.seed)
        if self.folder is not None:
            run_folder.save_model(self.model, self.folder / "model.safetensors")

    def _shorten_log(self, log: Path) -> None:
        # A run killed between writing its metrics and its checkpoint repeats that round.
        done = run_folder.content(log).splitlines()[: self.round] if log.exists() else []
        write_atomically(log, b"".join(line + b"\n" for line in done))

    def _keep_best(self) -> None:
        if self.folder is not None:
            run_folder.save_model(self.model, self.folder / "best.safetensors")
        else:
            self.best_weights = {k: v.clone() for k, v in self.model.state_dict().items()}

    def _take_best(self) -> None:
        if self.folder is not None and (best := self.folder / "best.safetensors").exists():
            run_folder.load_weights(self.model, run_folder.read(best)[0], best)
        elif self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def stopped(self) -> bool:
        """Whether early stopping has ended the training."""
        stopping = self.config.training.early_stopping
        return stopping is not None and self.waited >= stopping.patience

    def train_round(self) -> dict[str, float]:
        """One pass over the data of a round."""
        training = self.config.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.round, training.learning_rate, training.warmup_rounds, training.rounds
            )
        beta = training.annealing.at(self.round)
        rng = np.random.default_rng((self.seed, self.round, 1))
        # Random layers of a user's network draw from PyTorch's own generator.
        torch.manual_seed(int(np.random.default_rng((self.seed, self.round, 3)).integers(2**62)))
        self.model.train()
        costs, weights = [], []
        for batch in self.data.training(self.seed, self.round, training.streams):
            costs.append(self.walk(batch, rng, beta, self.step))
            weights.append(batch.present)
        return _mean(costs, weights) | {"beta": beta, "skipped": float(self.skipped)}

    def step(self, losses: Losses) -> None:
        """One optimiser step; skipped and counted if the gradient is not finite."""
        self.optimizer.zero_grad()
        losses.total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            self.skipped += 1

    @torch.no_grad()
    def validate(self) -> float:
        """The loss on held-out people with β at its maximum, or the targets' part of it; data and dropout are
        the same every time."""
        beta = self.config.training.annealing.beta
        costs, weights = [], []
        self.model.eval()
        for number, batch in self.data.held_out(self.seed, "validation", groups=1):
            rng = np.random.default_rng((self.seed, number, 2))
            costs.append(self.walk(batch, rng, beta, lambda losses: None))
            weights.append(batch.present)
        means, stopping = _mean(costs, weights), self.config.training.early_stopping
        targets = [m for m in self.config.model.modalities if m.role == "target" and f"nll_{m.name}" in means]
        if stopping is None or stopping.of == "loss" or not targets:
            return means["loss"]
        return sum(m.weight * means[f"nll_{m.name}"] for m in targets)

    def walk(
        self, batch: Batch, rng: np.random.Generator, beta: float, step: Callable[[Losses], None]
    ) -> dict[str, float]:
        """Process sessions segment by segment, carrying the state; returns the mean costs.

        A model of samples takes every tick of sessions as one.
        """
        model, training = self.model, self.config.training
        sequences = next(iter(batch.available.values())).ndim == 2
        fed = batch.available
        if model.axes == 2:
            fed = hidden(rng, batch, model.modalities, self.config.rate, training.dropout)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        segments, masks = [batch], [fed]
        if sequences:
            segments = batch.segments(training.segment_ticks)
            masks = [part.available for part in Batch(batch.x, fed).segments(training.segment_ticks)]
        state: tuple[Tensor, ...] = ()
        totals: dict[str, Any] = {}
        for part, mask in zip(segments, masks, strict=True):
            if sequences and model.axes == 1:
                part = part.flattened()
            part, seen = model.batch(part), {k: v.to(self.device) for k, v in mask.items()}
            with torch.autocast(self.device.type, torch.bfloat16, enabled=training.precision == "bfloat16"):
                losses = model.loss(part, seen, state, beta, generator)
            step(losses)
            state = tuple(s.detach() for s in losses.state)
            if not all(torch.isfinite(s).all() for s in state):
                state = ()
            nats = {"loss": losses.total, "kl": losses.kl} | {f"nll_{k}": v for k, v in losses.nll.items()}
            for key, value in nats.items():
                totals[key] = totals.get(key, 0.0) + value.detach() / len(segments)
        return {key: float(value) for key, value in totals.items()}


def _mean(costs: list[dict[str, float]], weights: list[int]) -> dict[str, float]:
    """Of each cost, over the batches that have it."""
    keys = dict.fromkeys(key for cost in costs for key in cost)
    means = {}
    for key in keys:
        there = [i for i, cost in enumerate(costs) if key in cost]
        counts = [weights[i] for i in there]
        counts = counts if any(counts) else [1] * len(there)
        means[key] = float(np.average([costs[i][key] for i in there], weights=counts))
    return means


def _with_rounds(config: Config, rounds: int) -> Config:
    training = msgspec.structs.replace(config.training, rounds=rounds)
    return msgspec.structs.replace(config, training=training)


def learning_rate(round_: int, peak: float, warmup: int, rounds: int) -> float:
    """Linear warm-up, then a half cosine down to 2 % of the peak (Loshchilov & Hutter 2017)."""
    if round_ < warmup:
        return peak * (round_ + 1) / (warmup + 1)
    share = (round_ - warmup) / max(rounds - warmup, 1)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
