"""NOVA and the Social Signal Interpretation framework: `.annotation` and `.stream`, each with a data file.

`NAME.annotation` and `NAME.stream` are XML; the data are beside them in a file whose name has a `~` more, as
text or binary (little-endian). Read by NOVA's manual (https://github.com/hcmlab/nova, docs) and by
hcmlab/nova-utils:

| scheme | a line of text | binary |
| --- | --- | --- |
| DISCRETE | `from;to;id;confidence` | float64, float64, int32, float32 |
| FREE | `from;to;text;confidence[;color=…]` | float64, float64, int32 length, Latin-1, float32 |
| CONTINUOUS | `score;confidence`, at the scheme's `sr` from 0 s on | float32, float32 |

A stream has chunks of `num` vectors, of which the first is at `from` seconds.
"""

import math
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import numpy as np

from ...contracts.errors import UserError, one_line
from .contents import MAX_NUMBERS, MAX_SPANS, Array, Samples, Spans, content_of, damaged, decoded
from .xml import read_xml

_MAX_BINARY: Final = 2**28  # bytes of a data file
_KINDS: Final = {
    **dict.fromkeys(("SHORT", "INT", "LONG", "CHAR"), "i"),
    **dict.fromkeys(("USHORT", "UINT", "ULONG", "UCHAR", "BYTE", "BOOL"), "u"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "f"),
}
_DISCRETE: Final = np.dtype([("from", "<f8"), ("to", "<f8"), ("id", "<i4"), ("conf", "<f4")])
_CONTINUOUS: Final = np.dtype([("score", "<f4"), ("conf", "<f4")])


def read_annotation(path: Path) -> Spans | Samples:
    """Spans of a discrete or free scheme, whose text is the label's name; samples of a continuous one.

    Frames of a continuous scheme whose score is NaN were not rated.

    Raises:
        UserError: a file cannot be read, or is not NOVA's.
    """
    root = read_xml(path)
    info, scheme, meta = (_element(root, name, path) for name in ("info", "scheme", "meta"))
    kind, name, rater = scheme.get("type", ""), scheme.get("name", path.stem), meta.get("annotator", "")
    binary = _is_binary(info, path)
    data = content_of(path.with_name(f"{path.name}~"), _MAX_BINARY)
    with damaged(path, "a NOVA annotation"):
        if kind == "CONTINUOUS":
            rate = _positive(scheme, "sr")
            scores = _scores(data, binary)
            return Samples(name, np.arange(len(scores)) / rate, scores[:, :1], (name,), rater=rater)
        if kind == "DISCRETE":
            names = {int(e.attrib["id"]): e.get("name", "") for e in scheme.iter("item")}
            rows = [
                (*row[:2], names.get(int(row[2]), str(int(row[2]))), row[3])
                for row in _discrete(data, binary)
            ]
        elif kind == "FREE":
            rows = _free_binary(data) if binary else _free_text(data)
        else:
            raise UserError(f"{path}: a scheme of type {one_line(kind)[:40]!r} is not read")
        start, end, confidence = (np.array([row[k] for row in rows], float) for k in (0, 1, 3))
        return Spans(name, start, end, [str(row[2]) for row in rows], confidence, rater)


def read_stream(path: Path) -> Samples:
    """The vectors of a stream.

    Raises:
        UserError: a file cannot be read, or is not SSI's.
    """
    root = read_xml(path)
    info = _element(root, "info", path)
    binary = _is_binary(info, path)
    with damaged(path, "an SSI stream"):
        rate, dim = _positive(info, "sr"), int(info.attrib["dim"])
        kind, width = _KINDS.get(info.get("type", "")), int(info.get("byte", "4"))
        if kind is None or not 0 < dim <= 2**16 or width not in (1, 2, 4, 8):
            raise UserError(f"{path}: vectors of {dim} {one_line(info.get('type'))[:40]} are not read")
        data = content_of(path.with_name(f"{path.name}~"), _MAX_BINARY)
        if binary:
            flat = np.frombuffer(data, np.dtype(f"<{kind}{width}"))
        else:
            flat = np.array(decoded(data).replace(info.get("delim") or " ", " ").split(), float)
        if flat.size % dim or flat.size > MAX_NUMBERS:
            raise UserError(f"{path}: {flat.size} numbers in its data file cannot be vectors of {dim}")
        values = flat.reshape(-1, dim).astype(float)
        times = _chunk_times(root, rate, len(values))
    values[~np.isfinite(values).all(1)] = np.nan
    return Samples(path.stem, times, values, tuple(f"x{k}" for k in range(dim)))


def _element(root: ET.Element, name: str, path: Path) -> ET.Element:
    if (element := root.find(name)) is None:
        if name == "meta":
            return ET.Element(name)
        raise UserError(f"{path}: not a file of NOVA or SSI: it has no {name}")
    return element


def _is_binary(info: ET.Element, path: Path) -> bool:
    kind = info.get("ftype", "ASCII")
    if kind not in ("ASCII", "BINARY"):
        raise UserError(
            f"{path}: data of type {one_line(kind)[:40]!r} are not read; export it as ASCII or BINARY"
        )
    return kind == "BINARY"


def _positive(element: ET.Element, name: str) -> float:
    value = float(element.attrib[name])
    if not 0 < value < 1e6:
        raise ValueError(f"{name} is {value}")
    return value


def _chunk_times(root: ET.Element, rate: float, count: int) -> Array:
    """The time of each vector: from its chunk's begin on, at the rate."""
    times, left = [], count
    for chunk in root.iter("chunk"):
        number, begin = min(int(chunk.attrib["num"]), left), float(chunk.attrib["from"])
        if number < 0 or not math.isfinite(begin):
            raise ValueError("a chunk")
        times.append(begin + np.arange(number) / rate)
        left -= number
    last = times[-1][-1] + 1 / rate if times and len(times[-1]) else 0.0
    return np.concatenate([*times, last + np.arange(left) / rate])  # what no chunk tells of follows


def _lines(data: bytes) -> list[list[str]]:
    lines = decoded(data).splitlines()
    if len(lines) > MAX_NUMBERS // 2:
        raise ValueError(f"{len(lines)} lines")
    return [line.split("//")[0].split(";") for line in lines if line.strip()]


def _scores(data: bytes, binary: bool) -> Array:
    """Score and confidence of each frame, `[n, 2]`."""
    if binary:
        rows = np.frombuffer(data, _CONTINUOUS)
        return np.stack([rows["score"], rows["conf"]], 1).astype(float).reshape(-1, 2)
    numbers = [[float(cell.replace(",", ".")) for cell in row[:2]] for row in _lines(data)]
    return np.array([[*row, math.nan][:2] for row in numbers], float).reshape(-1, 2)


def _discrete(data: bytes, binary: bool) -> list[tuple[float, float, float, float]]:
    if binary:
        rows = np.frombuffer(data, _DISCRETE)
        if len(rows) > MAX_SPANS:
            raise ValueError(f"{len(rows)} segments")
        return [(float(r["from"]), float(r["to"]), float(r["id"]), float(r["conf"])) for r in rows]
    return [(*_ends(row), float(int(row[2])), _confidence(row)) for row in _lines(data)]


def _free_text(data: bytes) -> list[tuple[float, float, str, float]]:
    rows = []
    for cells in _lines(data):
        tail = 1 + cells[-1].startswith("color=")
        whole = [*cells[:2], ";".join(cells[2:-tail]), cells[-tail]]  # a text may have semicolons
        rows.append((*_ends(cells), whole[2], _confidence(whole)))
    return rows


def _free_binary(data: bytes) -> list[tuple[float, float, str, float]]:
    rows: list[tuple[float, float, str, float]] = []
    at = 0
    while at < len(data) and len(rows) <= MAX_SPANS:
        start, end, length = struct.unpack_from("<ddi", data, at) if at + 20 <= len(data) else (0, 0, -1)
        if not 0 <= length <= len(data) - at - 24:
            raise ValueError("cut")
        text = data[at + 20 : at + 20 + length].decode("latin-1")
        (confidence,) = struct.unpack_from("<f", data, at + 20 + length)
        rows.append((start, end, text, confidence))
        at += 24 + length
    return rows


def _ends(row: list[str]) -> tuple[float, float]:
    return float(row[0].replace(",", ".")), float(row[1].replace(",", "."))


def _confidence(row: list[str]) -> float:
    return float(row[3].replace(",", ".")) if len(row) > 3 and row[3].strip() else math.nan
