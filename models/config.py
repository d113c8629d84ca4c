"""What a model is built from: plain, versioned, readable.

A configuration is a TOML preset or the `config.json` of a run; unknown keys are errors.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ..contracts.errors import UserError
from .annealing import Annealing
from .missing import Dropout
from .mm_vrnn import MMVRNN, MMVRNNConfig

ModelConfig = MMVRNNConfig  # a union of the models' configurations, told apart by `model`


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is trained: truncated back-propagation through time over whole sessions."""

    data: Literal["conversation"] = "conversation"
    rounds: int = 240  # rounds of fresh sessions
    streams: int = 32  # sessions side by side
    session_seconds: float = 100.0
    segment_ticks: int = 125  # ticks that one gradient sees
    learning_rate: float = 2e-3
    warmup_rounds: int = 8
    annealing: Annealing = Annealing()
    clip: float = 200.0  # of the gradient's norm, which is some tens to hundreds
    dropout: Dropout = Dropout()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that, with a seed, determines a trained model."""

    version: Literal[1]
    name: str
    description: str
    rate: int
    model: ModelConfig
    training: Training = Training()


def build(config: ModelConfig) -> MMVRNN:
    """A model of that configuration, its weights untrained."""
    return MMVRNN(config)


PRESETS: Final = Path(str(files(__package__) / "presets"))


def load_config(source: str | Path) -> Config:
    """Read a configuration: a TOML or JSON file, or the name of a preset.

    Raises:
        UserError: no such file or preset, or a wrong key or value, named with the expected and the found.
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
