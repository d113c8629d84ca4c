"""A made-up session as calls of a writer, read back in a form that can be compared to the bit."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.streams.samples import SECOND, Observation, Sample, View

DIMS = {"face": FACE.dim, "audio": AUDIO.dim}
DESCRIPTION = {
    "bundle": {"name": "tiny", "sha256": "ab" * 32},
    "schemas": {"face": "face/1", "audio": "audio/1"},
    "devices": {"camera": "0", "microphone": "Built-in"},
    "clock": "CLOCK_MONOTONIC",
}
TICK = SECOND // 25
VIEWS = [
    View(1, 1, (0.25, 0.1, 0.3333333, -0.125), 0.8125),
    View(0, 1),
    View(2, 1, (0.5, 0.25, 0.25, 0.3), 0.0, "partly out of view"),
    None,
    View(3),
]
ARROWS = [f"{name}.arrows" for name in ("face", "audio", "observations", "estimates", "marks")]


def vector(modality: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=DIMS[modality]).astype(np.float32)


def tick(n: int) -> list[tuple]:
    """The calls of the writer at tick n; the face is missing at some ticks."""
    at = n * TICK
    face = None if n % 5 == 3 else vector("face", n)
    view = VIEWS[n % len(VIEWS)]
    seen = (None,) * 5 if view is None else (view.faces, view.person, view.box, view.quality, view.problem)
    audio = vector("audio", n)
    ages = {"face": None if face is None else 12_345_678, "audio": 0}
    latency = (
        Latency(0.071, None, 3.5, {"face": 5.25}, {"face": 2.0, "audio": 1.125}) if n % 2 else msgspec.UNSET
    )
    estimate = Estimate(
        n,
        round(at / SECOND, 6),
        Engagement(0.6123, 0.0812, 0.47, 0.74),
        {"face": face is not None, "audio": True},
        {"face": None if face is None else 12.3, "audio": 0.0},
        {"face": None if face is None else -3.142, "audio": 0.1 + 0.2},
        latency,
        *seen,
    )
    calls: list[tuple] = [
        ("sample", Sample("face", at - 12_345_678, face, n, view), at + 5_000_000),
        ("sample", Sample("audio", at, audio, n), at + 7_000_000),
        ("observation", Observation(n, at, {"face": face, "audio": audio}, ages, view=view)),
        ("estimate", estimate),
    ]
    return [*calls, ("mark", at, f"mark {n} äöü 🙂")] if n % 10 == 0 else calls


def record(folder: Path, calls: list[tuple], summary: object = None) -> None:
    with SessionWriter(folder, DESCRIPTION) as writer:
        for name, *arguments in calls:
            getattr(writer, name)(*arguments)
        writer.close(summary)


def plain(row: object) -> object:
    """With bytes in place of arrays, so that equal means equal to the bit."""
    match row:
        case np.ndarray():
            assert row.dtype == np.float32
            return row.shape, row.tobytes()
        case Sample():
            return row.modality, row.originating_time, plain(row.values), row.sequence, row.view
        case Observation():
            values = [(name, plain(value)) for name, value in row.values.items()]
            return row.tick, row.time, values, list(row.age.items()), row.view
        case Estimate():
            return row, msgspec.json.encode(row)
        case tuple():
            return tuple(map(plain, row))
    return row


def expected_rows(calls: list[tuple]) -> dict[str, list[object]]:
    """The rows that the reader should give for these calls, by file."""
    files: dict[str, list[object]] = {name: [] for name in ARROWS}
    for name, *arguments in calls:
        row = arguments[0] if name in ("observation", "estimate") else tuple(arguments)
        file = arguments[0].modality if name == "sample" else f"{name}s"
        files[f"{file}.arrows"].append(plain(row))
    return files


def read(reader: SessionReader) -> dict[str, list[object]]:
    sources: dict[str, Callable] = {
        f"{name}.arrows": lambda name=name: reader.samples(name) for name in reader.description["schemas"]
    }
    sources |= {
        "observations.arrows": reader.observations,
        "estimates.arrows": reader.estimates,
        "marks.arrows": reader.marks,
    }
    return {name: list(map(plain, source())) for name, source in sources.items()}


def three_batches(folder: Path) -> tuple[Path, dict[str, list[object]]]:
    """A session of three batches a file, and what is in it."""
    calls = [call for n in range(52) for call in tick(n)]
    record(folder, calls, {"ticks": 52})
    return folder, expected_rows(calls)
