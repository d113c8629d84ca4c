"""Recordings of ten formats: damaged, joined, with headers, sizes, rates and times that lie, or none."""

import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from tests.support import recordings
from tests.support.bundles import make_bundle

from .changes import FLOATS, NUMBERS, changed_bytes, special
from .trial import Trial

COUNT: Final = 1000
IMPORTS: Final = (
    *("enrapt.realtime.run", "enrapt.realtime.sources.media", "enrapt.realtime.features.face.extractor"),
    *("pyarrow.parquet", "onnxruntime", "enrapt.cli.show", "enrapt.cli.inspect_recording", "cv2"),
)
SECONDS: Final = 3
FACE_MODEL: Final = "face_landmarker.task"  # in the seeds' folder
BUNDLE: Final = "tiny.onnx"

_VIDEO: Final[dict[str, Any]] = {
    "pictures": recordings.every(0.04, SECONDS * 25),
    "size": (64, 48),
    "sound": (0, SECONDS),
}
FORMATS: Final[dict[str, dict[str, Any]]] = {
    "mp4": _VIDEO | {"codec": "libx264", "sound_codec": "aac"},
    "mkv": _VIDEO | {"codec": "libx264", "sound_codec": "aac"},
    "webm": _VIDEO | {"codec": "libvpx", "sound_codec": "libopus"},
    "avi": _VIDEO | {"codec": "mjpeg", "pixels": "yuvj420p"},
    "ts": _VIDEO | {"codec": "mpeg2video", "sound_codec": "mp2"},
    "flv": _VIDEO | {"codec": "flv", "sound_codec": "libmp3lame", "rate": 44_100},
    "mp3": {"sound": (0, SECONDS), "sound_codec": "libmp3lame"},
    "opus": {"sound": (0, SECONDS), "sound_codec": "libopus"},
    "wav": {"sound": (0, SECONDS), "layout": "stereo"},
    "flac": {"sound": (0, SECONDS), "sound_codec": "flac"},
}
_YEARS: Final = 10 * 365 * 86_400.0  # s
_LISTS: Final = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
    "ffconcat version 1.0\nfile {other}\nfile {other}\n",
    "ffconcat version 1.0\nfile {itself}\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    '<?xml version="1.0"?><MPD type="dynamic"><BaseURL>{other}</BaseURL></MPD>',
    "<!DOCTYPE html><html><body>Log in, please.</body></html>",
    "[playlist]\nFile1={other}\nNumberOfEntries=1\n",
    "RTSPtext\nrtsp://127.0.0.1:9/a\n",
)


def prepare(seeds: Path) -> None:
    """A sound recording of each format, and a small bundle."""
    for suffix, what in FORMATS.items():
        path = seeds / f"seed.{suffix}"
        recordings.write(path, options={"fflags": "+bitexact"}, **what)  # no random identifiers
    inputs = (
        ("face", FACE.dim, FACE.name, FACE.max_age),
        ("audio", AUDIO.dim, AUDIO.name, AUDIO.max_age),
    )
    make_bundle(seeds / BUNDLE, inputs)


def make(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    suffix = rng.choice(list(FORMATS))
    seed = seeds / f"seed.{suffix}"
    file = folder / f"input.{suffix}"
    changes: tuple[Callable[..., str], ...] = (_bytes, _bytes, _bytes, _times, _joined, _sizes, _wave, _other)
    label = f"{suffix}, {rng.choice(changes)(seed, file, rng)}"
    if rng.random() < 0.2:
        return Trial(f"{label}; inspect", ["inspect", str(file), *["--json"] * rng.randrange(2)])
    kind = rng.choice(("jsonl", "csv", "parquet"))
    output = folder / f"estimates.{kind}"
    command = ["replay", str(file), "--to", f"{kind}:{output}", "--bundle", str(seeds / BUNDLE)]
    return Trial(label, [*command, "--face-model", str(seeds / FACE_MODEL)], (output,))


def _bytes(seed: Path, file: Path, rng: random.Random) -> str:
    label, data = changed_bytes(seed.read_bytes(), rng)
    file.write_bytes(data)
    return label


def _times(seed: Path, file: Path, rng: random.Random) -> str:
    """Packets as they are, with times that go backwards, stand still, or are far apart."""
    how = rng.choice(("back", "far", "still", "random", "negative", "sparse", "one far"))
    at, away = rng.randrange(1, 60), rng.choice((3600.0, 86_400.0, _YEARS, 2**40))
    stamps: dict[str, Callable[[int, float], float]] = {
        "back": lambda n, t: t if n < at else t - 1.5,
        "far": lambda n, t: t if n < at else t + away,
        "still": lambda n, t: min(t, 0.5),
        "random": lambda n, t: rng.uniform(-10, 1000),
        "negative": lambda n, t: t - away,
        "sparse": lambda n, t: t * 100,  # minutes, which have ticks: more would take longer, for no fault
        "one far": lambda n, t: t + away * (n == at),
    }
    try:
        with av.open(str(seed)) as container, av.open(str(file), "w") as written:
            streams = {s.index: written.add_stream_from_template(s) for s in container.streams}
            count = dict.fromkeys(streams, 0)
            for packet in container.demux():
                if not packet.size:
                    continue
                index, base = packet.stream.index, packet.time_base or Fraction(1, 1000)
                own = packet.pts if packet.dts is None else packet.dts
                moved = round(stamps[how](count[index], float((own or 0) * base)) / base) - (own or 0)
                moved = max(-(2**62), min(moved, 2**62))
                packet.pts = None if packet.pts is None else packet.pts + moved
                packet.dts = None if packet.dts is None else packet.dts + moved
                count[index] += 1
                packet.stream = streams[index]
                written.mux(packet)
    except (av.error.FFmpegError, OSError, OverflowError):  # what has been written until then
        if not file.exists():
            file.write_bytes(seed.read_bytes())
    return f"times {how}"


def _joined(seed: Path, file: Path, rng: random.Random) -> str:
    others = [rng.choice((seed, seed.with_suffix(f".{rng.choice(list(FORMATS))}"))) for _ in range(3)]
    data = b"".join(
        changed_bytes(o.read_bytes(), rng)[1] if rng.random() < 0.3 else o.read_bytes() for o in others
    )
    file.write_bytes(seed.read_bytes() + data)
    return f"joined with {', '.join(o.suffix for o in others)}"


def _sizes(seed: Path, file: Path, rng: random.Random) -> str:
    """Width and height of pictures, wherever the file may say them, are extreme."""
    data = bytearray(seed.read_bytes())
    width, height = rng.choice((64, 4095, 16_000, 65_535)), rng.choice((48, 1, 16_000, 65_535))
    for code in (">HH", "<HH", ">II", "<II"):
        if rng.random() < 0.6:
            for old in ((64, 48), (48, 64)):  # JPEG says the height first
                new = (width, height) if old == (64, 48) else (height, width)
                data = data.replace(struct.pack(code, *old), struct.pack(code, *new))
    file.write_bytes(data)
    return f"{width}×{height}"


def _wave(seed: Path, file: Path, rng: random.Random) -> str:
    """A WAV file, whatever the name says: with a header that lies, or samples that are no sound."""
    values = np.zeros(48_000, "<f4")
    with np.errstate(over="ignore"):
        values[rng.randrange(1000) :: rng.randrange(1, 5000)] = rng.choice(FLOATS[:-2])
    fields = {"format": 3, "channels": 1, "rate": 16_000, "bytes": 64_000, "block": 4, "bits": 32}
    lies = rng.sample(list(fields), rng.randrange(3))
    for name in lies:
        fields[name] = rng.choice((*NUMBERS, 8, 24, 64, 65, 192_000, 1_000_001))
    codes = dict(zip(fields, "HHIIHH", strict=True))
    body = b"".join(
        struct.pack(f"<{codes[n]}", v % (1 << 16 if codes[n] == "H" else 1 << 32)) for n, v in fields.items()
    )
    size = values.nbytes if rng.random() < 0.8 else rng.choice(NUMBERS) % (1 << 32)
    data = (
        b"WAVEfmt "
        + struct.pack("<I", len(body))
        + body
        + b"data"
        + struct.pack("<I", size)
        + values.tobytes()
    )
    file.write_bytes(b"RIFF" + struct.pack("<I", len(data)) + data)
    return f"wave, {', '.join(f'{n} {fields[n]}' for n in lies) or values[values != 0][:1]}"


def _other(seed: Path, file: Path, rng: random.Random) -> str:
    """No recording: a list of others, text, or not even a file."""
    if rng.random() < 0.5:
        return special(file, rng)
    text = rng.choice(_LISTS)
    file.write_text(text.format(other=seed, itself=file))
    return text.split("\n")[0][:20]
