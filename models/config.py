"""Configuration of a model and its training, and the model built from it.

A configuration is a TOML file or preset, or the `config.json` of a run. Unknown keys are errors.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, overload

import msgspec

from ..contracts.errors import UserError
from .annealing import Annealing
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
Model = MMVRNN | MDVAE | ForwardFilter | MVAE | DMVAE


class EarlyStopping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Training ends early when the loss on validation people stops improving.

    Attributes:
        every: rounds between validations.
        patience: validations without improvement; the weights of the best validation are kept.
    """

    every: int = 5
    patience: int = 8

    def __post_init__(self) -> None:
        if min(self.every, self.patience) < 1:
            raise ValueError("every and patience must be at least 1")


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is trained: truncated back-propagation through time over whole sessions.

    MDVAE takes each segment as a separate sequence; MM-VRNN and the forward filter carry their state from one
    to the next; MVAE and DMVAE take each tick as a sample.
    """

    data: str = "conversation"  # the simulator, or a folder of recorded sessions
    rounds: int = 240  # passes over `streams` sessions; the simulator draws new ones every round
    streams: int = 32  # sessions in parallel
    session_seconds: float = 100.0
    segment_ticks: int = 125  # ticks per gradient step
    learning_rate: float = 2e-3
    warmup_rounds: int = 8
    annealing: Annealing = Annealing()
    clip: float = 200.0  # maximum gradient norm; typical norms are tens to hundreds
    dropout: Dropout = Dropout()
    early_stopping: EarlyStopping | None = None  # the simulator draws new people every round: no need

    def __post_init__(self) -> None:
        if min(self.rounds, self.streams, self.segment_ticks) < 1:
            raise ValueError("rounds, streams and segment_ticks must be at least 1")
        if not min(self.session_seconds, self.learning_rate, self.clip) > 0 or self.warmup_rounds < 0:
            raise ValueError(
                "session_seconds, learning_rate and clip must be above 0, warmup_rounds at least 0"
            )


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With a seed, this determines a trained model."""

    version: Literal[1]
    name: str
    description: str
    rate: int
    model: ModelConfig
    training: Training = Training()

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise ValueError(f"rate must be at least 1 tick per second, found {self.rate}")


@overload
def build(config: ModelConfig) -> Model: ...
@overload
def build(config: VQVAEConfig) -> VQVAE: ...
def build(config: ModelConfig | VQVAEConfig) -> Model | VQVAE:
    """An untrained model of that configuration."""
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


PRESETS: Final = Path(str(files(__package__) / "presets"))


def load_config(source: str | Path) -> Config:
    """Read a configuration: a TOML or JSON file, or the name of a preset.

    Raises:
        UserError: no such file or preset, or an unknown key or invalid value.
    """
    preset = PRESETS / f"{source}.toml"
    path = preset if preset.is_file() and not Path(source).exists() else Path(source)
    try:
        text = path.read_text()
    except OSError as error:
        names = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
        raise UserError(f"{path}: {error.strerror}; give a .toml file or a preset ({names})") from None
    try:
        if path.suffix == ".json":
            return msgspec.json.decode(text, type=Config)
        content: dict[str, Any] = tomllib.loads(text)
        return msgspec.convert(content, Config)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
