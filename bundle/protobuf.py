"""Read Protocol Buffers: the fields of a serialised message, without its definition.

Enough to read an ONNX file without the onnx package and without copying its weights. The wire format is
that of protobuf.dev/programming-guides/encoding, without groups, which ONNX does not use.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

VARINT: Final = 0
LENGTH: Final = 2  # bytes, text, a message, or packed numbers
_FIXED: Final = {1: 8, 5: 4}  # bytes


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: its field number.
        wire_type: how its value is encoded.
        whole: all of its bytes, tag included.
        value: the bytes of its value.
    """

    number: int
    wire_type: int
    whole: memoryview
    value: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in the order of its bytes.

    Raises:
        ValueError: the bytes are not a complete message.
    """
    start = 0
    while start < len(message):
        tag, at = _varint(message, start)
        number, wire_type = tag >> 3, tag & 7
        match wire_type:
            case 0:
                _, end = _varint(message, at)
            case 2:
                length, at = _varint(message, at)
                end = at + length
            case 1 | 5:
                end = at + _FIXED[wire_type]
            case _:
                raise ValueError("unknown wire type")
        if end > len(message) or number == 0:
            raise ValueError("ends inside a field")
        yield Field(number, wire_type, message[start:end], message[at:end])
        start = end


def nested(message: memoryview, number: int) -> Iterator[memoryview]:
    """The value of every field of that number that holds bytes, text or a message."""
    return (f.value for f in fields(message) if f.number == number and f.wire_type == LENGTH)


def integers(message: memoryview, number: int) -> list[int]:
    """All unsigned integers in the fields of that number, packed or not."""
    found = []
    for field in fields(message):
        if field.number == number and field.wire_type in (VARINT, LENGTH):
            at = 0
            while at < len(field.value):
                integer, at = _varint(field.value, at)
                found.append(integer)
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The variable-length integer at that offset, and the offset after it."""
    result = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise ValueError("ends inside a number")
