"""XDF files, written here after the specification, with clocks that differ, gaps, sound, and damage."""

import json
import math
import struct
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.cli.replay import replay
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.sources.live import RESET
from enrapt.realtime.sources.xdf import BOUNDARY, XdfReplay, is_xdf
from enrapt.realtime.streams.samples import SECOND

TYPES = {"float32": "<f4", "double64": "<f8", "int16": "<i2"}


@dataclass
class Stream:
    """Attributes:
    times: s, by the stream's own clock.
    values: `[n, channels]`, or labels.
    ahead: s by which that clock is ahead of the recorder's.
    """

    name: str
    times: np.ndarray
    values: object
    rate: float = 0.0
    format: str = "float32"
    ahead: float = 0.0
    encoded: list[bytes] = field(default_factory=list)

    @property
    def channels(self):
        return 1 if self.format == "string" else np.shape(self.values)[1]

    def header(self):
        what = {
            "name": self.name, "type": "T", "channel_count": self.channels,
            "nominal_srate": self.rate, "channel_format": self.format, "created_at": 1.5,
        }  # fmt: skip
        return f"<info>{''.join(f'<{k}>{v}</{k}>' for k, v in what.items())}<desc/></info>".encode()

    def samples(self, begin, end):
        """The content of a chunk of them: of regular streams only the first sample has a stamp."""
        rows = b""
        for k in range(begin, end):
            stamped = (
                k == begin
                or not self.rate
                or abs(np.diff(self.times[k - 1 : k + 1])[0] * self.rate - 1) > 1e-6
            )
            rows += b"\10" + struct.pack("<d", self.times[k]) if stamped else b"\0"
            if self.format == "string":
                text = self.values[k].encode()
                rows += length(len(text)) + text
            else:
                rows += np.asarray(self.values[k], TYPES[self.format]).tobytes()
        return length(end - begin) + rows


def length(n):
    return b"\1" + bytes([n]) if n < 256 else b"\4" + struct.pack("<I", n)


def chunk(tag, content):
    return length(len(content) + 2) + struct.pack("<H", tag) + content


def encoded(streams, ended=True):
    """A file's chunks."""
    chunks = [b"XDF:" + chunk(1, b"<info><version>1.0</version></info>")]
    chunks += [chunk(2, struct.pack("<I", n) + s.header()) for n, s in enumerate(streams, 1)]
    begin = min(s.times[0] - s.ahead for s in streams)
    end = max(s.times[-1] - s.ahead for s in streams)
    for second in range(math.ceil(end - begin + 1e-9)):
        chunks.append(chunk(5, BOUNDARY))
        for n, s in enumerate(streams, 1):
            at = s.times - s.ahead - begin
            a, b = np.searchsorted(at, [second, second + 1])
            if a < b:
                chunks.append(chunk(3, struct.pack("<I", n) + s.samples(a, b)))
            if second % 5 == 0:
                offset = struct.pack("<dd", begin + second + s.ahead, -s.ahead)
                chunks.append(chunk(4, struct.pack("<I", n) + offset))
    footer = b"<info><first_timestamp>0</first_timestamp></info>"
    return chunks + [chunk(6, struct.pack("<I", n) + footer) for n in range(1, len(streams) + 1)] * ended


def write(path, *streams, ended=True):
    path.write_bytes(b"".join(encoded(streams, ended)))
    return path


def vectors(n, dim, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (n, dim)).astype(np.float32)


def face(seconds=4.0, rate=30, name="tracker", begin=100.0, **more):
    n = round(seconds * rate)
    return Stream(name, begin + np.arange(n) / rate, vectors(n, FACE.dim), rate, **more)


def audio(seconds=4.0, rate=25, name="opensmile", begin=100.02, **more):
    n = round(seconds * rate)
    return Stream(name, begin + np.arange(n) / rate, vectors(n, AUDIO.dim, 1), rate, **more)


@pytest.fixture
def engine(tiny_bundle):
    return Engine(Bundle.load(tiny_bundle))


def expected(engine, streams, ticks):
    """Estimates of the newest value of each at each tick, by hand."""
    engine.reset()
    told = []
    first = min(s.times[0] - s.ahead for s in streams.values())
    ages = {"face": FACE.max_age, "audio": AUDIO.max_age}
    for tick in range(ticks):
        values = dict.fromkeys(ages)
        for modality, s in streams.items():
            at = np.rint((s.times - s.ahead - first) * 1e9)
            (there,) = np.nonzero(
                (at <= tick * 40_000_000) & (at >= tick * 40_000_000 - ages[modality] * 1e9)
            )
            finite = there.size and np.isfinite(s.values[there[-1]]).all()
            values[modality] = s.values[there[-1]] if finite else None
        step = engine.step(values)
        told.append((round(step.mean, 4), round(step.std, 4), {m: v is not None for m, v in values.items()}))
    return told


def told(replay):
    return [(round(e.engagement.mean, 4), round(e.engagement.std, 4), e.present) for e in replay]


def test_estimates_are_those_of_the_features_also_of_a_clock_that_is_hours_ahead(
    engine, tiny_bundle, tmp_path
):
    streams = {"face": face(begin=100.0 + 5000, ahead=5000), "audio": audio()}
    streams["face"].values[40:60] = np.nan
    streams["face"].values[80, 7] = np.nan
    replay = XdfReplay(write(tmp_path / "a.xdf", *streams.values()), engine)
    got = told(replay)
    assert got == expected(Engine(Bundle.load(tiny_bundle)), streams, len(got))
    assert len(got) == 100  # to the last sample, of the audio
    assert [present["face"] for _, _, present in got].count(False) > 10
    assert replay.lost == []
    for counts in replay.counts.values():
        assert counts.captured == counts.used + counts.dropped.total() >= 100
    assert told(XdfReplay(tmp_path / "a.xdf", engine)) == got


def test_a_tracker_that_is_regular_in_name_only_keeps_its_times(engine, tiny_bundle, tmp_path):
    slow = face(8)
    slow.times = np.concatenate(
        (100 + np.arange(120) / 30, 104 + np.arange(60) / 15, 120 + np.arange(60) / 30)
    )
    got = told(XdfReplay(write(tmp_path / "a.xdf", slow), engine))
    assert got == expected(Engine(Bundle.load(tiny_bundle)), {"face": slow}, len(got))
    present = np.array([p["face"] for _, _, p in got])
    assert present[:205].all()
    assert not present[207:500].any()
    assert present[500:].all()


def tone(seconds=6.0, rate=44_100, fast=1.0, name="microphone", hole=None):
    """500 Hz by the recorder's clock, in the second half of every second; the device's crystal is fast."""
    t = np.arange(round(seconds * rate * fast)) / (rate * fast)
    if hole is not None:
        t = t[(t < hole[0]) | (t >= hole[1])]
    sound = 0.5 * np.sin(2 * np.pi * 500 * t) * (t % 1 >= 0.5)
    values = np.stack((sound, sound), axis=1) * 32767
    return Stream(name, 100 + t, values.round().astype(np.int16), rate, "int16")


@pytest.mark.long
@pytest.mark.parametrize("fast", [1.0, 1.0002])
def test_sound_is_heard_at_its_time(engine, tmp_path, fast):
    levels = {}
    replay = XdfReplay(write(tmp_path / "a.xdf", tone(fast=fast), face(6)), engine)
    for _ in replay:
        observation = replay.observation
        if (values := observation.values["audio"]) is not None:
            levels[observation.time] = values[AUDIO.index("level")]
    assert len(levels) > 145
    for time, level in levels.items():
        part = (time - 40_000_000) % SECOND / SECOND
        if 0.51 < part < 0.95:
            assert level == pytest.approx(-9.03, abs=0.1)
        elif 0.01 < part < 0.45:
            assert level < -60


def test_sound_with_a_hole_is_missing_there_and_right_after_it(engine, tmp_path):
    replay = XdfReplay(write(tmp_path / "a.xdf", tone(hole=(2.0, 3.25))), engine)
    present = {}
    for estimate in replay:
        present[estimate.tick] = estimate.present["audio"]
        values = replay.observation.values["audio"]
        if 3.6 < estimate.t < 3.9:
            assert values[AUDIO.index("level")] == pytest.approx(-9.03, abs=0.1)
    assert not any(present[tick] for tick in range(54, 81))
    assert all(present[tick] for tick in (*range(2, 50), *range(84, 149)))


def test_streams_are_found_by_their_names_or_by_what_fits(engine, tmp_path):
    path = write(
        tmp_path / "a.xdf",
        face(name="left"),
        face(name="right"),
        audio(),
        Stream("EEG", 100 + np.arange(99) / 9, np.zeros((99, 8)), 9),
    )

    def refused(path=path, **names):
        with pytest.raises(UserError) as caught:
            XdfReplay(path, engine, names)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    ambiguous = refused()
    assert "several streams can be the face: left (57 channels at 30 Hz), right (57" in ambiguous
    assert "give --face NAME" in ambiguous
    assert "has no stream middle; it has left" in refused(face="middle")
    assert "EEG (8 channels at 9 Hz): as audio give 44 channels" in refused(face="left", audio="EEG")
    replay = XdfReplay(path, engine, {"face": "right"})
    assert {m: c.captured for m, c in replay.counts.items()} == dict.fromkeys(("face", "audio"), 0)
    assert sum(1 for _ in replay) == 100
    assert {m: c.captured for m, c in replay.counts.items()} == {"face": 120, "audio": 100}

    alone = write(tmp_path / "b.xdf", Stream("EEG", 100 + np.arange(99) / 9, np.zeros((99, 8)), 9))
    assert "has no stream that the bundle takes (face: 57 channels" in refused(alone)
    assert "it has EEG (8 channels at 9 Hz)" in refused(alone)
    (tmp_path / "c.xdf").write_bytes(b"RIFF")
    assert not is_xdf(tmp_path / "c.xdf")
    assert "not an XDF file" in refused(tmp_path / "c.xdf")


def test_markers_are_marks_and_one_resets_the_model(engine, tmp_path):
    marks = Stream("Markers", np.array([100.5, 101.0, 102.5]), ["smiles", RESET, "Zoë"], format="string")
    replay = XdfReplay(write(tmp_path / "a.xdf", face(), marks), engine)
    assert replay.marks == [(SECOND // 2, "smiles"), (SECOND, RESET), (5 * SECOND // 2, "Zoë")]
    ticks = [round(e.engagement.std * 1000) for e in replay]
    assert ticks[:30] == [*range(1, 26), *range(1, 6)]


def test_outputs_are_told_of_markers_before_the_tick_that_follows(tiny_bundle, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(Outputs, "mark", lambda self, t, label: told.append((t, label)))
    monkeypatch.setattr(Outputs, "write", lambda self, estimate, observation: told.append(estimate.t))
    marks = Stream("Markers", np.array([100.0, 100.41, 100.42]), ["a", "b", "c"], format="string")
    replay(write(tmp_path / "a.xdf", face(), marks), bundle=str(tiny_bundle))
    assert told[:2] == [(0.0, "a"), 0.0]
    assert told[11:15] == [0.4, (0.41, "b"), (0.42, "c"), 0.44]


@pytest.mark.parametrize("cut", [1, 5, 30, 60, 200, 1000, 3000])
def test_what_is_whole_of_a_file_that_was_cut_is_replayed(engine, tmp_path, cut):
    whole = told(XdfReplay(write(tmp_path / "a.xdf", face(), audio()), engine))
    path = tmp_path / "b.xdf"
    path.write_bytes((tmp_path / "a.xdf").read_bytes()[:-cut])
    replay = XdfReplay(path, engine)
    got = told(replay)
    (line,) = replay.lost
    assert "cannot be read" in line or "cut off" in line
    assert len(got) > 60
    both = sum(1 for _, _, present in got if all(present.values()))
    assert got[:both] == whole[:both]


def test_of_any_cut_no_number_is_made_up(engine, tmp_path):
    streams = {"face": face(1, 25), "audio": audio(1, begin=100.0)}  # the last samples are at a tick
    data = write(tmp_path / "a.xdf", *streams.values()).read_bytes()
    header = data.index(b"</info>", data.index(b"opensmile")) + len(b"</info>")
    path = tmp_path / "b.xdf"
    for end in range(header, len(data), 47):
        path.write_bytes(data[:end])
        replay = XdfReplay(path, engine)
        assert len(replay.lost) == 1
        for _ in replay:
            for modality, values in replay.observation.values.items():
                assert values is None or (streams[modality].values == values).all(axis=1).any()
    for end in range(0, header, 97):
        path.write_bytes(data[:end])
        with pytest.raises(UserError) as caught:
            told(XdfReplay(path, engine, {"audio": "opensmile"}))
        assert "\n" not in str(caught.value)


def test_a_recording_that_was_not_ended_says_so(engine, tmp_path):
    replay = XdfReplay(write(tmp_path / "a.xdf", face(), ended=False), engine)
    assert replay.lost == ["cut off: the recording of tracker was not ended"]
    assert len(told(replay)) == 100


def test_after_damage_reading_goes_on_at_the_next_boundary(engine, tmp_path):
    chunks = encoded([face(), audio()])
    damaged = next(k for k, c in enumerate(chunks) if BOUNDARY in c and k > 10)
    broken = (
        b"".join(chunks[: damaged + 1]) + b"\7" * len(chunks[damaged + 1]) + b"".join(chunks[damaged + 2 :])
    )
    path = tmp_path / "a.xdf"
    path.write_bytes(broken)
    replay = XdfReplay(path, engine)
    present = [p["face"] and p["audio"] for _, _, p in told(replay)]
    (line,) = replay.lost
    assert "bytes, from" in line
    assert all(present[1:25])
    assert all(present[76:])
    assert not all(present)


def test_the_command(tiny_bundle, tmp_path):
    def enrapt(*arguments):
        command = [sys.executable, "-m", "enrapt.cli.main", "replay", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    path = write(tmp_path / "a.xdf", face(name="left"), face(name="right"), tone(4, 16_000))
    done = enrapt(path, "--bundle", tiny_bundle, "--face", "left", "--to", "jsonl:a.jsonl")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert len(lines) == 100
    assert json.loads(lines[50])["present"] == {"face": True, "audio": True}
    assert "face     120 captured" in done.stdout

    path.write_bytes(path.read_bytes()[:-9])
    done = enrapt(path, "--bundle", tiny_bundle, "--face", "left")
    assert done.returncode == 1
    assert "cannot be read; what they held is lost" in done.stderr
    for options, why in (
        ([path], "several streams can be the face"),
        ([path, "--face", "left", "--start", "1"], "XDF is replayed whole"),
        ([tmp_path / "a.jsonl", "--face", "left"], "not XDF"),
        ([tmp_path / f"{uuid.uuid4()}.xdf"], "no such file"),
    ):
        done = enrapt(*options, "--bundle", tiny_bundle)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert why.lower() in line.lower()
    (tmp_path / "pyxdf.py").write_text("raise ImportError")
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, '.'); from enrapt.cli.main import main; main()",
    ]
    done = subprocess.run(
        [*command, "replay", path, "--face", "left"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "pip install 'enrapt[lsl]'" in done.stderr
    assert Path(tmp_path / "a.xdf").exists()
