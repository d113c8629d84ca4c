"""Training from arrays in Python."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec
import torch

from ..contracts.errors import UserError, one_line
from .annealing import Annealing, Schedule
from .arguments import check_count
from .batch import Batch, Data
from .checked import Seed
from .config import ARRAYS, Config, EarlyStopping, Training, load_config
from .data import Arrays
from .missing import Dropout
from .model import Model
from .training import Progress, Trainer

NO_DROPOUT = Dropout(absent=0, bursts=0, frames=0)
ENDLESS = 1_000_000  # epochs of patience: training goes on to its end, and the best weights are kept


def fit(
    model: Model,
    data: Data | Batch,
    *,
    validation: Data | Batch | None = None,
    batch: int = 32,
    epochs: int = 100,
    lr: float = 2e-3,
    warmup: int = 0,
    annealing: Schedule | Annealing = "linear",
    clip: float = 200.0,
    weight_decay: float = 0.0,
    dropout: float | Dropout = 0.0,
    patience: int | EarlyStopping | None = None,
    calibrate: bool = False,
    segment: int | None = None,
    rate: int = 25,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["float32", "bfloat16", "float64"] = "float32",
    seed: int = 0,
    initial: str | Path | None = None,
    folder: str | Path | None = None,
    description: str = "trained from arrays in Python",
    licence: str = "not stated",
    trained_on: str | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[dict[str, float]]:
    """Train a model, which keeps its weights and normalisation if it has been trained before.

    Args:
        data: `[N, *shape]`, or of sequences `[N, T, *shape]`, by modality; NaN is missing. Ends of shorter
            sequences are NaN.
        validation: data of the same form; the weights of the epoch with the lowest loss on them are kept.
        batch: samples or sequences in a gradient step.
        lr: the highest learning rate, of Adam; it falls to 2 % along a half cosine.
        warmup: epochs in which the learning rate rises.
        annealing: of β; by name over half of the epochs (`linear`), or in four cycles (`cyclical`).
        clip: maximum gradient norm.
        weight_decay: of AdamW, relative to the learning rate.
        dropout: for models of sequences: the share of sequences from which the encoders do not see a
            modality, each by itself, or a `Dropout`. It is still reconstructed. A target is hidden from 90 %
            of them, if a `Dropout` does not say otherwise.
        patience: epochs without a better validation, after which training ends; or an `EarlyStopping`.
        calibrate: fit a factor on the targets' predictive scale to the validation data; see `calibration`.
        segment: ticks of truncated back-propagation through time; by default whole sequences.
        rate: ticks per second; for a `Dropout` in bursts.
        device: `auto` is a GPU where there is one.
        precision: `bfloat16` is autocast, with weights in float32. A model in float64 stays so.
        initial: folder of another run, whose weights are the first ones where name and shape fit; what is
            normalised there stays so.
        folder: of a run as `enrapt train` writes it, which `load` reads; a run that was interrupted is
            resumed, and one of fewer epochs continued.
        description, licence, trained_on: lines for a bundle of the run: what it is, the licence of its
            weights, whose data it learned from.
        progress: called after every epoch.

    Returns:
        The mean losses of each epoch, nats, by name.

    Warns:
        UserWarning: β does not reach its maximum, because its annealing takes longer than training.

    Raises:
        UserError: data or options that do not fit; a loss that is not finite.
    """
    if not isinstance(model, Model):
        raise UserError(f"model: expected a model, as MVAE([…]), found {one_line(repr(model))}")
    arrays = Arrays(model.checked(data), None if validation is None else model.checked(validation), batch)
    for name, given in (("data", arrays.data), ("validation", arrays.validation)):
        if given is not None and not given.present:
            raise UserError(f"{name}: every value is missing")
    for name, number, least in (("epochs", epochs, 1), ("batch", batch, 1), ("warmup", warmup, 0)):
        check_count(name, number, least)
    kind = next(model.buffers()).dtype
    if kind not in (torch.float32, torch.float64) or (precision == "bfloat16" and kind != torch.float32):
        raise UserError(f"model: its weights are {kind}; for precision bfloat16 they stay in float32")
    if kind == torch.float64:
        precision = "float64"
    if not callable(progress):
        raise UserError(f"progress: expected a function, found {one_line(repr(progress))}")
    if model.axes == 1 and dropout:
        raise UserError("dropout is for models of sequences: others learn from subsets of their modalities")
    if segment is not None:
        check_count("segment", segment)
        if model.axes == 1:
            raise UserError("segment is for models of sequences, which are trained in segments")
    if validation is None and (patience is not None or calibrate):
        raise UserError(f"{'calibrate' if patience is None else 'patience'} needs validation data")
    if isinstance(annealing, str) and annealing not in get_args(Schedule):
        raise UserError(f"annealing is one of {', '.join(get_args(Schedule))}, not {annealing}")
    try:
        if isinstance(annealing, str):
            annealing = annealed(annealing, epochs, None if folder is None else Path(folder))
        if not isinstance(dropout, Dropout):
            dropout = msgspec.structs.replace(NO_DROPOUT, absent=dropout)
        if not isinstance(patience, EarlyStopping):
            patience = EarlyStopping(1, ENDLESS if patience is None else patience)
        training = Training(
            data=ARRAYS, rounds=epochs, streams=batch, epochs=True,
            segment_ticks=1_000_000 if segment is None else segment, learning_rate=lr,
            warmup_rounds=warmup, annealing=annealing, clip=clip, weight_decay=weight_decay,
            device=device, precision=precision, initial=None if initial is None else str(initial),
            dropout=dropout if model.axes == 2 else Dropout(),
            early_stopping=None if validation is None else patience,
            calibrate=calibrate,
        )  # fmt: skip
        name = (Path(folder).resolve().name if folder is not None else "") or type(model).__name__
        config = Config(1, name, description, rate, model.config, training, licence, trained_on)
        msgspec.convert(seed, Seed)
    except ValueError as error:
        raise UserError(one_line(error)) from None
    for note in config.notes:
        warnings.warn(note, stacklevel=2)
    trainer = Trainer(config, seed, None if folder is None else Path(folder), model, arrays)
    history: list[dict[str, float]] = []

    def keep(done: Progress) -> None:
        history.append(done.metrics)
        progress(done)

    trainer.run(keep)
    model.eval()
    return history


def annealed(schedule: Schedule, epochs: int, folder: Path | None) -> Annealing:
    """A schedule over a share of the epochs; where a run is continued, that of the run."""
    if folder is not None and (path := folder / "config.json").is_file():
        before = load_config(path).training.annealing
        if before.schedule == schedule:
            return before
    return Annealing(schedule, rounds=math.ceil(epochs / (4 if schedule == "cyclical" else 2)))
