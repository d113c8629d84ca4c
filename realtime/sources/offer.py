"""What a source or a device can give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...bundle.metadata import ModalitySpec
from ...contracts.schemas import AUDIO, FACE, SPEAKING


@dataclass(frozen=True, slots=True)
class Offer:
    """A modality that a source can give.

    Attributes:
        name: the source's name for it.
        schema: of its features; None if it has none and is known by its name alone.
        dim: numbers in a sample; None where the source gives as many as are wanted.
        required: whether it is an error if the bundle does not take it: somebody asked for it by name.
    """

    name: str
    schema: str | None
    dim: int | None = None
    required: bool = False

    def __str__(self) -> str:
        what = self.schema or ("" if self.dim is None else f"{self.dim} number{'s' * (self.dim != 1)}")
        return f"{self.name} ({what})" if what else self.name

    def fits(self, modality: ModalitySpec) -> bool:
        """Whether it can be that modality: by schema, or by name where one of the two has no schema."""
        if self.dim is not None and self.dim != modality.dim:
            return False
        if self.schema is None or modality.schema is None:
            return self.name == modality.name
        return self.schema == modality.schema


FACES: Final = Offer("face", FACE.name, FACE.dim)
SOUND: Final = Offer("audio", AUDIO.name, AUDIO.dim)


def speaking(who: str, required: bool = False) -> Offer:
    """Whether somebody speaks: `own` or `partner`."""
    return Offer(who, SPEAKING.name, SPEAKING.dim, required)


def takes_speaking(inputs: Sequence[ModalitySpec], who: str) -> bool:
    """Whether a bundle takes whether that one speaks, rather than how."""
    schemas = {m.schema: m.name for m in inputs if m.schema == AUDIO.name or m.name == who}
    return SPEAKING.name in schemas and AUDIO.name not in schemas
