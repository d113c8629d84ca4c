"""Configuration of a model and its training, and the model built from it.

A configuration is a TOML file or preset, or the `config.json` of a run. Unknown keys are errors.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, overload

import msgspec
import torch
from msgspec import Meta

from ..contracts.errors import UserError, one_line
from ..contracts.regular import open_regular
from .annealing import Annealing
from .checked import Checked, Count, Line, Positive, Rate, Seconds
from .dmvae import DMVAE, DMVAEConfig
from .forward_filter import ForwardFilter, ForwardFilterConfig
from .mdvae import MDVAE, MDVAEConfig
from .missing import Dropout
from .mm_vrnn import MMVRNN, MMVRNNConfig
from .mvae import MVAE, MVAEConfig
from .vq_vae import VQVAE, VQVAEConfig

ModelConfig = (  # distinguished by `model`
    MMVRNNConfig | MDVAEConfig | ForwardFilterConfig | MVAEConfig | DMVAEConfig
)
MAX_PARAMETERS: Final = 2**24  # 64 MiB in float32: no larger bundle is read
MAX_NUMBERS: Final = 2**28  # of a round's sessions: a gigabyte
MAX_BYTES: Final = 2**20  # of a file with a configuration
SIMULATED: Final = "conversation"  # data of the simulator

Model = MMVRNN | MDVAE | ForwardFilter | MVAE | DMVAE


class EarlyStopping(Checked, frozen=True):
    """Training ends early when the loss on validation people stops improving.

    Attributes:
        every: rounds between validations.
        patience: validations without improvement; the weights of the best validation are kept.
    """

    every: Count = 5
    patience: Count = 8


class Training(Checked, frozen=True):
    """How a model is trained: truncated back-propagation through time over whole sessions.

    MDVAE takes each segment as a separate sequence; MM-VRNN and the forward filter carry their state from one
    to the next; MVAE and DMVAE take each tick as a sample.
    """

    data: Line = SIMULATED  # the simulator, or a folder of sessions, from where the configuration is
    rounds: Count = 240  # passes over `streams` sessions; the simulator draws new ones every round
    streams: Count = 32  # sessions in parallel
    session_seconds: Seconds = 100.0
    segment_ticks: Count = 125  # ticks per gradient step
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 2e-3
    warmup_rounds: Annotated[int, Meta(ge=0, le=1_000_000)] = 8
    annealing: Annealing = Annealing()
    clip: Positive = 200.0  # maximum gradient norm; typical norms are tens to hundreds
    dropout: Dropout = Dropout()
    early_stopping: EarlyStopping | None = None  # the simulator draws new people every round: no need


class Config(Checked, frozen=True):
    """With a seed, this determines a trained model."""

    version: Literal[1]
    name: Line
    description: Line
    rate: Rate
    model: ModelConfig
    training: Training = Training()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ticks < 1:
            raise ValueError("session_seconds must be at least a tick")
        numbers = self.training.streams * self.ticks * sum(m.dim for m in self.model.modalities)
        if numbers > MAX_NUMBERS:
            raise ValueError(
                f"a round would have {numbers:.1e} numbers in memory, more than {MAX_NUMBERS:.0e}: lower "
                "streams or session_seconds"
            )
        if isinstance(self.model, MVAEConfig | DMVAEConfig) and self.training.dropout != Dropout():
            raise ValueError(
                "training.dropout: is for sequence models; an mvae or dmvae learns from subsets of its "
                "modalities as they are, so leave it out"
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


@overload
def build(config: ModelConfig) -> Model: ...
@overload
def build(config: VQVAEConfig) -> VQVAE: ...
def build(config: ModelConfig | VQVAEConfig) -> Model | VQVAE:
    """An untrained model of that configuration.

    Raises:
        UserError: it would be larger than a bundle.
    """
    with torch.device("meta"):  # without memory
        size = sum(p.numel() for p in _build(config).parameters())
    if size > MAX_PARAMETERS:
        raise UserError(f"{size:.1e} parameters, more than a bundle's {MAX_PARAMETERS:.1e}: lower the sizes")
    return _build(config)


def _build(config: ModelConfig | VQVAEConfig) -> Model | VQVAE:
    match config:
        case MMVRNNConfig():
            return MMVRNN(config)
        case MDVAEConfig():
            return MDVAE(config)
        case MVAEConfig():
            return MVAE(config)
        case DMVAEConfig():
            return DMVAE(config)
        case ForwardFilterConfig():
            return ForwardFilter(MDVAE(config.smoother), config.hidden)
        case VQVAEConfig():
            return VQVAE(config)


def _with_data_from(folder: Path, config: Config) -> Config:
    data = str((folder / config.training.data).absolute())
    return msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, data=data))


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
            return msgspec.json.decode(data, type=Config)
        content: dict[str, Any] = tomllib.loads(data.decode())
        config = msgspec.convert(content, Config)
        return config if config.training.data == SIMULATED else _with_data_from(path.parent, config)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; give a .toml file") from None
    except (ValueError, RecursionError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise UserError(f"{path}: {one_line(error)}") from None
