"""What the run's process sends to the page's: MessagePack, each message after its length."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..engine.estimate import Estimate
from .observed import Landmarks

_LENGTH: Final = 4  # bytes, little-endian


class Described(msgspec.Struct, tag=True):
    """The description of the run, see `Observed`; before its first tick, and whenever it changes."""

    description: dict[str, Any]


class Tick(msgspec.Struct, tag=True):
    """An estimate, and what the page shows beside it.

    Attributes:
        values: float32, the observation's, by modality.
        person: id of the one that is followed.
        status, landmarks: of the run; None where there is nothing new.
    """

    estimate: Estimate
    values: dict[str, bytes | None]
    person: int | None
    status: dict[str, Any] | None
    landmarks: tuple[bytes | None, dict[int, bytes], float] | None


class Mark(msgspec.Struct, tag=True):
    """A mark at `t` seconds of the session."""

    t: float
    label: str


class Ended(msgspec.Struct, tag=True):
    """The run is over; `why` is empty where it ended as it was to."""

    why: str


class Named(msgspec.Struct, tag=True):
    """A message of one of several runs, by its person's name."""

    name: str
    message: Described | Tick | Mark | Ended


Message = Described | Tick | Mark | Ended | Named

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


def packed(message: Message) -> bytes:
    """A message as it is sent."""
    content = _encoder.encode(message)
    return len(content).to_bytes(_LENGTH, "little") + content


def unpacked(waiting: bytearray) -> Iterator[Message]:
    """The messages of which all has arrived; each is removed."""
    while len(waiting) >= _LENGTH and (end := _end(waiting)) <= len(waiting):
        message = _decoder.decode(waiting[_LENGTH:end])
        del waiting[:end]
        yield message


def _end(waiting: bytearray) -> int:
    """Where the first message ends."""
    return _LENGTH + int.from_bytes(waiting[:_LENGTH], "little")


def values_to_bytes(values: Mapping[str, NDArray[np.float32] | None]) -> dict[str, bytes | None]:
    return {name: None if one is None else one.tobytes() for name, one in values.items()}


def values_of(sent: Mapping[str, bytes | None]) -> dict[str, NDArray[np.float32] | None]:
    return {name: None if one is None else np.frombuffer(one, np.float32) for name, one in sent.items()}


def landmarks_to_bytes(landmarks: Landmarks) -> tuple[bytes | None, dict[int, bytes], float]:
    own, others, aspect = landmarks
    sent = {person: points.tobytes() for person, points in others.items()}
    return None if own is None else own.tobytes(), sent, aspect


def landmarks_from(sent: tuple[bytes | None, dict[int, bytes], float]) -> Landmarks:
    own, others, aspect = sent

    def points(one: bytes) -> NDArray[np.float32]:
        return np.frombuffer(one, np.float32).reshape(-1, 2)

    return None if own is None else points(own), {n: points(one) for n, one in others.items()}, aspect
