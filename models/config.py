"""What a model is built from: plain, versioned, readable.

A configuration is a TOML preset or the `config.json` of a run; unknown keys are errors.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ..contracts.errors import UserError

Role = Literal["observed", "target", "context"]
Likelihood = Literal["normal", "laplace", "logit_normal"]


class Modality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named vector per tick.

    Attributes:
        role: `observed` may be fed and is decoded; `target` is decoded and never fed when live; `context`
            is fed and not decoded.
        weight: λ, what a nat of this modality's likelihood counts for in the loss.
    """

    name: str
    dim: int
    role: Role = "observed"
    likelihood: Likelihood = "laplace"
    weight: float = 1.0
    schema: str | None = None


class Dropout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which observed modalities are hidden from the encoders in training; see `missing.py`.

    The first four are shares of sequences, per modality, and add up to at most 1; the rest are complete.
    """

    absent: float = 0.2  # hidden from the first tick to the last
    bursts: float = 0.3  # hidden in bursts
    frames: float = 0.15  # hidden tick by tick
    burst_seconds: float = 2.0  # mean length of a burst; gaps between bursts are twice as long
    frame_share: float = 0.3  # share of ticks hidden where they are hidden tick by tick
    target: float = 0.9  # share of sequences in which the target is hidden from its encoder


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes of an MM-VRNN."""

    modalities: tuple[Modality, ...]
    model: Literal["mm_vrnn"] = "mm_vrnn"
    hidden: int = 128
    latent: int = 32

    def of_role(self, *roles: Role) -> tuple[Modality, ...]:
        return tuple(m for m in self.modalities if m.role in roles)

    def __post_init__(self) -> None:
        names = [m.name for m in self.modalities]
        if len(set(names)) != len(names):
            raise ValueError(f"modalities must have different names, found {names}")
        if len(self.of_role("target")) != 1 or not self.of_role("observed"):
            raise ValueError("modalities must hold one target and at least one observed")
        if min(self.hidden, self.latent, *(m.dim for m in self.modalities)) < 1:
            raise ValueError("hidden, latent and every dim must be at least 1")


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is trained: truncated back-propagation through time over whole sessions."""

    data: Literal["conversation"] = "conversation"
    rounds: int = 240  # rounds of fresh sessions
    streams: int = 32  # sessions side by side
    session_seconds: float = 100.0
    segment_ticks: int = 125  # ticks that one gradient sees
    learning_rate: float = 2e-3
    warmup_rounds: int = 8
    beta: float = 1.0
    beta_rounds: int = 60  # β rises linearly from 0 over these rounds
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
