"""XDF files with hostile chunks, headers, stamps, clock offsets and compression."""

import gzip
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from tests.support import xdf_files
from tests.support.bundles import make_bundle

from .changes import FLOATS, NUMBERS, TEXTS, changed_bytes, special
from .trial import Trial

COUNT: Final = 200
IMPORTS: Final = (
    *("enrapt.realtime.run", "enrapt.realtime.sources.xdf", "pyarrow.parquet", "onnxruntime"),
    *("enrapt.cli.show", "enrapt.cli.inspect_recording", "av"),
)
BUNDLE: Final = "tiny.onnx"

_NAMES: Final = (b"name", b"type", b"channel_count", b"nominal_srate", b"channel_format", b"created_at")
_XML: Final = (
    b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;">]>'
    b"<info><name>&d;</name></info>",
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><info><name>&b;</name></info>',
    b"<info>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</info>",
    b'<?xml version="1.0" encoding="utf-16"?><info/>',
    b"<info><name>a</name>",
    b"\xff\xfe\x00",
    b"",
)


def prepare(seeds: Path) -> None:
    inputs = (("face", FACE.dim, FACE.name, 0.2), ("audio", AUDIO.dim, AUDIO.name, 0.2))
    make_bundle(seeds / BUNDLE, inputs)


def make(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    streams = [xdf_files.face(), xdf_files.audio() if rng.random() < 0.5 else xdf_files.tone(2.0, 16_000)]
    labels = f"marks, {len(streams)} streams"
    times = 100 + np.sort(np.array([rng.random() * 4 for _ in range(5)]))
    streams.append(xdf_files.Stream("marks", times, [rng.choice(TEXTS)[:200] for _ in times], 0.0, "string"))
    file = folder / f"input.{rng.choice(('xdf', 'xdf', 'xdf', 'xdfz', 'xdf.gz'))}"
    if rng.random() < 0.5:
        labels = _streams(streams, rng)
    chunks = xdf_files.encoded(streams, ended=rng.random() < 0.9)
    changes: tuple[Callable[..., str], ...] = (_length, _header, _rows, _offset, _order, _none)
    labels += "; " + rng.choice(changes)(chunks, rng)
    data = b"".join(chunks)
    if rng.random() < 0.3:
        label, data = changed_bytes(data, rng)
        labels += f"; {label}"
    if file.suffix != ".xdf":
        data = gzip.compress(data, 1)
        if rng.random() < 0.5:
            label, data = changed_bytes(data, rng) if rng.random() < 0.7 else ("bomb", _bomb())
            labels += f"; gzip {label}"
    file.write_bytes(data)
    if rng.random() < 0.05:
        labels = special(file, rng)
    if rng.random() < 0.2:
        return Trial(f"{labels}; inspect", ["inspect", str(file), *["--json"] * rng.randrange(2)])
    kind = rng.choice(("jsonl", "csv", "parquet"))
    output = folder / f"estimates.{kind}"
    command = ["replay", str(file), "--bundle", str(seeds / BUNDLE), "--to", f"{kind}:{output}"]
    return Trial(f"{file.suffix}: {labels}", command, (output,))


def _streams(streams: list[xdf_files.Stream], rng: random.Random) -> str:
    """Times and values that no sensor gives, in a valid file."""
    at = rng.randrange(2)
    stream = streams[at]
    times, values = stream.times.copy(), np.array(stream.values)
    what = rng.choice(
        ("stamp", "stamps", "gap", "back", "values", "rate", "ahead", "same", "none", "name", "twice")
    )
    k = rng.randrange(len(times))
    number = float(rng.choice((*FLOATS, *NUMBERS)))
    with np.errstate(all="ignore"):
        match what:
            case "stamp":
                times[k] = number
            case "stamps":
                times[k:] += number
            case "gap":
                times[k:] += rng.choice((3600.0, 3e8, 1e12))
            case "back":
                times[k:] -= rng.choice((1.0, 100.0, 1e9))
            case "same":
                times[:] = times[0]
            case "values" if values.dtype == np.float32:
                values[k:, rng.randrange(values.shape[1])] = number
    new = replace(stream, times=times, values=values)
    if what == "rate":
        new = replace(new, rate=number)
    elif what == "ahead":
        new = replace(new, ahead=rng.choice((1e9, -1e9, 1e300)))
    elif what == "name":
        new = replace(new, name=rng.choice(TEXTS[1:])[:1000].replace("<", "&lt;"))
    elif what == "none":
        new = replace(new, times=times[:0], values=values[:0])
    streams[at] = new
    if what == "twice":
        streams.append(new)
    return f"stream {at}: {what} {number:g}"


def _which(chunks: list[bytes], tag: int, rng: random.Random) -> int | None:
    found = [k for k, c in enumerate(chunks) if k and _parts(c)[1] == tag]
    return rng.choice(found) if found else None


def _parts(chunk: bytes) -> tuple[int, int, bytes]:
    """Bytes of the length, tag, content."""
    n = 1 + chunk[0]
    return n, int.from_bytes(chunk[n : n + 2], "little"), chunk[n + 2 :]


def _length(chunks: list[bytes], rng: random.Random) -> str:
    k = rng.randrange(1, len(chunks))
    n, _, _ = _parts(chunks[k])
    number = rng.choice((*NUMBERS, 2, 3, len(chunks[k]) - 1, len(chunks[k]) * 3))
    lie = rng.choice(
        (
            b"\1" + (number % 2**8).to_bytes(1, "little"),
            b"\4" + struct.pack("<I", number % 2**32),
            b"\10" + struct.pack("<Q", number % 2**64),
            b"\3",
        )
    )
    chunks[k] = lie + chunks[k][n:]
    return f"length of chunk {k}: {number}"


def _header(chunks: list[bytes], rng: random.Random) -> str:
    """A header's fields, or all of it."""
    k = _which(chunks, 2, rng)
    if k is None:
        return "no header"
    content = _parts(chunks[k])[2]
    if rng.random() < 0.25:
        chunks[k] = xdf_files.chunk(2, content[:4] + rng.choice(_XML))
        return "another XML"
    name = rng.choice(_NAMES)
    begin, end = content.find(b"<" + name + b">"), content.find(b"</" + name + b">")
    value = str(
        rng.choice((*NUMBERS, *FLOATS, *TEXTS[3:], "int64", "int8", "string", "double64", "undefined"))
    )
    content = content[: begin + len(name) + 2] + value[:2000].encode() + content[end:]
    chunks[k] = xdf_files.chunk(2, content)
    return f"{name.decode()} {value[:20]}"


def _rows(chunks: list[bytes], rng: random.Random) -> str:
    """The content of samples: their stream, count, stamps or values."""
    k = _which(chunks, 3, rng)
    if k is None:
        return "no samples"
    content = bytearray(_parts(chunks[k])[2])
    at = rng.choice((0, 4, 5, 6, rng.randrange(len(content))))
    width = rng.choice((1, 4, 8))
    content[at : at + width] = (rng.choice(NUMBERS) % (1 << 8 * width)).to_bytes(width, "little")
    chunks[k] = xdf_files.chunk(3, bytes(content))
    return f"samples at {at}"


def _offset(chunks: list[bytes], rng: random.Random) -> str:
    k = _which(chunks, 4, rng) or len(chunks) - 1
    time, offset = (float(rng.choice((*FLOATS, 0.0, 100.0, 1e9, -5.0))) for _ in range(2))
    new = xdf_files.chunk(4, struct.pack("<Idd", rng.choice((1, 2, 3, 99)), time, offset))
    chunks[k : k + 1] = [new] * rng.choice((1, 1, 50))
    return f"clock offset {offset:g} at {time:g}"


def _order(chunks: list[bytes], rng: random.Random) -> str:
    what = rng.choice(
        ("shuffled", "repeated", "no magic", "headers last", "header twice", "unknown tag", "boundary")
    )
    match what:
        case "shuffled":
            chunks[1:] = rng.sample(chunks[1:], len(chunks) - 1)
        case "repeated":
            chunks += chunks[1:] * rng.choice((1, 20))
        case "no magic":
            chunks[0] = chunks[0][4:]
        case "headers last":
            chunks.sort(key=lambda c: c[:4] != b"XDF:" and _parts(c)[1] == 2)
        case "header twice":
            chunks.append(chunks[1])
        case "unknown tag":
            chunks.insert(2, xdf_files.chunk(rng.choice((0, 7, 65_535)), b"abc"))
        case "boundary":
            chunks.insert(rng.randrange(1, len(chunks)), xdf_files.chunk(5, rng.randbytes(rng.randrange(40))))
    return what


def _none(chunks: list[bytes], rng: random.Random) -> str:
    return "no chunk"


def _bomb() -> bytes:
    """300 MB of zeros in 300 kB."""
    return gzip.compress(b"XDF:" + xdf_files.chunk(1, b"<info/>") + bytes(300_000_000), 1)
