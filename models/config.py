"""Configuration of a model and its training, and the model built from it.

A configuration is a TOML file or preset, or the `config.json` of a run. Unknown keys are errors.
"""

import os
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import torch
from msgspec import Meta

from ..contracts.errors import UserError, one_line
from ..contracts.regular import open_regular
from .annealing import Annealing
from .checked import Checked, Count, Line, Name, Positive, Rate, Seconds, Weight
from .dmvae import DMVAE, DMVAEConfig
from .ensemble import Ensemble, EnsembleConfig
from .forward_filter import ForwardFilter, ForwardFilterConfig
from .mdvae import MDVAE, MDVAEConfig
from .missing import Dropout
from .mm_vrnn import MMVRNN, MMVRNNConfig
from .model import Model
from .mvae import MVAE, MVAEConfig
from .networks import described
from .recent_vrnn import RecentVRNN, RecentVRNNConfig
from .turn_vrnn import TurnVRNN, TurnVRNNConfig
from .vq_vae import VQVAE, VQVAEConfig

# The models. A new one is its file and its name in these two lists.
MODELS: Final[tuple[type[Model], ...]] = (
    MMVRNN,
    RecentVRNN,
    TurnVRNN,
    Ensemble,
    MDVAE,
    ForwardFilter,
    MVAE,
    DMVAE,
    VQVAE,
)
AnyConfig = (
    MMVRNNConfig
    | RecentVRNNConfig
    | TurnVRNNConfig
    | EnsembleConfig
    | MDVAEConfig
    | ForwardFilterConfig
    | MVAEConfig
    | DMVAEConfig
    | VQVAEConfig
)
MAX_PARAMETERS: Final = 2**24  # 64 MiB in float32: no larger bundle is read
MAX_NUMBERS: Final = 2**28  # of a round's sessions: a gigabyte
MAX_BYTES: Final = 2**20  # of a file with a configuration
SIMULATED: Final = "conversation"  # data of the simulator
ARRAYS: Final = "arrays"  # data that were given in Python, so not to be read again


class EarlyStopping(Checked, frozen=True):
    """Training ends early when the loss on validation people stops improving.

    Attributes:
        of: the whole loss, or the targets' part of it: how people differ in their faces and voices is soon
            learned by heart where there are few, long before their targets are.
        every: rounds between validations.
        patience: validations without improvement; the weights of the best validation are kept.
    """

    every: Count = 5
    patience: Count = 8
    of: Literal["loss", "targets"] = "loss"


class Training(Checked, frozen=True):
    """How a model is trained.

    A gradient step takes a segment of sessions in parallel, `streams` of them: truncated back-propagation
    through time. Causal models of sequences carry their state from one segment to the next, an MDVAE takes
    each segment as a separate sequence, and models of samples take each tick as a sample.

    Attributes:
        data: the simulator, or a folder of sessions, from where the configuration is.
        ignore: arrays of the sessions' files that are not modalities of this model.
        initial: run folder of another training, from where the configuration is, whose weights are the first
            ones; those that have another shape here start anew.
        rounds: passes over `streams` sessions; the simulator draws new ones every round.
        epochs: a round takes every recorded session once, instead of random excerpts of `streams` sessions.
        segment_ticks: ticks per gradient step.
        jitter: standard deviations of a random constant, new for each excerpt, that is added to each feature
            of recorded sessions: as if more people, with other faces and voices, had been recorded.
        weight_decay: decoupled from the gradient (Loshchilov & Hutter 2019), relative to the learning rate.
        clip: maximum gradient norm; typical norms are tens to hundreds.
        dropout: what is hidden from the encoders of models of sequences.
        early_stopping: the simulator draws new people every round: no need.
        calibrate: fit a factor on the targets' predictive scale to validation people after training; see
            `calibration`.
        device: `auto` is a GPU where there is one.
        precision: of the arithmetic; `bfloat16` is autocast, with weights in float32.
    """

    data: Line = SIMULATED
    ignore: tuple[Name, ...] = ()
    initial: Line | None = None
    rounds: Count = 240
    streams: Count = 32
    epochs: bool = False
    session_seconds: Seconds = 100.0
    segment_ticks: Count = 125
    jitter: Weight = 0.0
    weight_decay: Weight = 0.0
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 2e-3
    warmup_rounds: Annotated[int, Meta(ge=0, le=1_000_000)] = 8
    annealing: Annealing = Annealing()
    clip: Positive = 200.0
    dropout: Dropout = Dropout()
    early_stopping: EarlyStopping | None = None
    calibrate: bool = False
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"

    @property
    def torch_device(self) -> torch.device:
        """The device to train on.

        Raises:
            UserError: there is no GPU, and it has to be one.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("no GPU that PyTorch can use; give device auto or cpu")
        gpu = self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available())
        return torch.device("cuda" if gpu else "cpu")


class Config(Checked, frozen=True):
    """With a seed, this determines a trained model.

    Attributes:
        licence: of the trained weights, for the bundle.
        trained_on: whose data the model learns from, for the bundle, such as "12 people of the study Talks".
    """

    version: Literal[1]
    name: Line
    description: Line
    rate: Rate
    model: AnyConfig
    training: Training = Training()
    licence: Line = "not stated"
    trained_on: Line | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ticks < 1:
            raise ValueError("session_seconds must be at least a tick")
        names = [m.name for m in self.model.modalities]
        if unknown := [name for name in self.training.dropout.keep if name not in names]:
            raise ValueError(
                f"training.dropout.keep: no modality {', '.join(unknown)}; found {', '.join(names)}"
            )
        numbers = self.training.streams * self.ticks * sum(m.dim for m in self.model.modalities)
        if numbers > MAX_NUMBERS and self.training.data != ARRAYS:  # those are in memory as they are
            raise ValueError(
                f"a round would have {numbers:.1e} numbers in memory, more than {MAX_NUMBERS:.0e}: lower "
                "streams or session_seconds"
            )
        if model_class(self.model).axes == 1 and self.training.dropout != Dropout():
            raise ValueError(
                "training.dropout: is for models of sequences; others learn from subsets of their modalities "
                "as they are, so leave it out"
            )

    @property
    def notes(self) -> list[str]:
        """What is allowed and hardly meant, a line each."""
        annealing, rounds = self.training.annealing, self.training.rounds
        last = annealing.at(rounds - 1)
        if annealing.rounds <= rounds or last >= annealing.beta:
            return []
        return [
            f"annealing takes {annealing.rounds} rounds and training {rounds}: β ends at {last:.2g} instead "
            f"of {annealing.beta:g}; lower annealing.rounds, or train longer"
        ]

    @property
    def ticks(self) -> int:
        """Of a session in training."""
        return round(self.training.session_seconds * self.rate)


def model_class(config: AnyConfig) -> type[Model]:
    """The model that a configuration is of."""
    (found,) = (model for model in MODELS if type(config) is model.Config)
    return found


def build(config: AnyConfig) -> Model:
    """An untrained model of that configuration.

    Raises:
        UserError: it would be larger than a bundle; a network of a modality does not fit.
    """
    kind: Callable[[AnyConfig], Model] = model_class(config)
    try:
        with torch.device("meta"):  # without memory
            check_size(kind(config))
        return kind(config)
    except ValueError as error:
        raise UserError(one_line(error)) from None


def check_size(model: Model) -> None:
    """Check that a model is not larger than a bundle.

    Raises:
        UserError: it is.
    """
    size = sum(p.numel() for p in model.parameters())
    if size > MAX_PARAMETERS:
        raise UserError(f"{size:.1e} parameters, more than a bundle's {MAX_PARAMETERS:.1e}: lower the sizes")


def encode(config: Config) -> bytes:
    """A configuration as JSON; networks as their text, see `networks`."""
    return msgspec.json.encode(config, enc_hook=described)


def _paths_from(folder: Path, config: Config, named: tuple[str, ...] = (SIMULATED,)) -> Config:
    """The configuration with its paths, given from that folder, as seen from here.

    Args:
        named: data that are no path.
    """
    return _with_paths(config, lambda path: os.path.normpath((folder / path).absolute()), named)


def portable(config: Config, folder: Path) -> Config:
    """The configuration as a run's folder keeps it: paths inside of it from there, so that it can be moved,
    and others absolute. `load_config` reverses it."""
    here = folder.absolute()

    def seen(path: str) -> str:
        whole = Path(os.path.normpath(Path(path).absolute()))
        return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)

    return _with_paths(config, seen, (SIMULATED, ARRAYS))


def _with_paths(config: Config, change: Callable[[str], str], named: tuple[str, ...]) -> Config:
    training = config.training
    if training.data not in named:
        training = msgspec.structs.replace(training, data=change(training.data))
    if training.initial is not None:
        training = msgspec.structs.replace(training, initial=change(training.initial))
    return msgspec.structs.replace(config, training=training)


PRESETS: Final = Path(str(files(__package__) / "presets"))


def load_config(source: str | Path) -> Config:
    """Read a configuration: a TOML or JSON file, or the name of a preset.

    Raises:
        UserError: no such file or preset, or an unknown key or invalid value.
    """
    preset = PRESETS / f"{source}.toml"
    path = preset if preset.is_file() and not Path(source).exists() else Path(source)
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        names = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
        raise UserError(f"{path}: {error.strerror}; give a .toml file or a preset ({names})") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not a configuration")
    try:
        if path.suffix == ".json":
            found = msgspec.json.decode(data, type=Config)
            return _paths_from(path.parent, found, (SIMULATED, ARRAYS))
        content: dict[str, Any] = tomllib.loads(data.decode())
        return _paths_from(path.parent, msgspec.convert(content, Config))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; give a .toml file") from None
    except (ValueError, RecursionError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise UserError(f"{path}: {one_line(error)}") from None
