"""study/extracting.py: when a recording began, and processes that come and go."""

import datetime
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.owned import claim
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.store.reader import SessionReader
from enrapt.study import extracting
from enrapt.study.extracting import extract, started_at
from tests.support.recordings import create, tone, write
from tests.support.xdf_files import audio
from tests.support.xdf_files import write as write_xdf


@pytest.fixture
def recording(tmp_path):
    return write(tmp_path / "film.mkv", sound=(0, 1))


@pytest.fixture
def make(recording, tiny_bundle, tmp_path):
    def make(**settings):
        return extract(
            recording, tmp_path / "out/s", tiny_bundle, lambda: MediaSource(recording), settings=settings
        )

    return make


def created(path, **metadata):
    """A recording with metadata."""
    with create(path, {"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(metadata)
        audio = container.add_stream("aac", rate=16_000)
        audio.layout = "mono"
        block = av.AudioFrame.from_ndarray(tone(np.arange(1024) / 16_000)[None], "fltp", "mono")
        block.sample_rate = 16_000
        for packet in [*audio.encode(block), *audio.encode(None)]:
            container.mux(packet)
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    return path


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"creation_time": "2024-05-01T12:00:00.000000Z"}, "2024-05-01T12:00:00+00:00"),
        ({"creation_time": "2024-05-01T12:00:00.5+02:00"}, "2024-05-01T10:00:00.500000+00:00"),
        (
            {
                "com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200",
                "creation_time": "2024-05-01T10:00:07Z",
            },
            "2024-05-01T12:00:00+02:00",
        ),
    ],
)
def test_a_recording_says_when_it_began(tmp_path, metadata, expected):
    time, by = started_at(created(tmp_path / "film.mov", **metadata))
    assert by == "recording"
    assert time == datetime.datetime.fromisoformat(expected)


@pytest.mark.parametrize("metadata", [{}, {"creation_time": "1904-01-01T00:00:00Z"}, {"creation_time": "?"}])
def test_otherwise_its_file_does(tmp_path, metadata):
    suffix = "mov" if metadata.get("creation_time") != "?" else "mkv"
    time, by = started_at(created(tmp_path / f"film.{suffix}", **metadata))
    assert (time.isoformat(), by) == ("2017-07-14T02:40:00.123000+00:00", "file")


@given(st.integers(-(2**62), 2**62))
def test_any_time_of_a_file_is_a_time(tmp_path_factory, ns):
    path = tmp_path_factory.getbasetemp() / "timed.wav"
    if not path.exists():
        write(path, sound=(0, 0.1))
    try:
        os.utime(path, ns=(0, ns))
    except OSError:  # not of this file system
        return
    assert started_at(path)[0].tzinfo is not None


def test_started_is_the_recordings_time(make, recording, tmp_path):
    os.utime(recording, ns=(0, 1_500_000_000_123_456_789))
    make()
    reader = SessionReader(tmp_path / "out/s")
    assert reader.started == "2017-07-14T02:40:00.123+00:00"
    assert reader.description["started_by"] == "file"
    assert reader.summary["latency_ms"] == {}


def test_what_an_interrupted_process_left_is_made_again(make, tmp_path):
    part = tmp_path / "out/.s.part/session"
    part.mkdir(parents=True)
    (part / "session.json").write_text("{")
    (part.parent / "lock").touch()
    assert make().ticks == 26
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s"]
    assert make().kept


def test_a_process_that_makes_it_is_left_alone(make, tmp_path):
    part = tmp_path / "out/.s.part"
    part.mkdir(parents=True)
    descriptor = claim(part / "lock")
    with pytest.raises(UserError, match="another process is making it"):
        make()
    os.close(descriptor)
    assert not make().kept


def test_of_many_at_once_one_makes_it(make, tmp_path):
    together = threading.Barrier(6)

    def one(k):
        together.wait()
        try:
            return make().kept
        except UserError as error:
            return str(error).rpartition(": ")[2]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(one, range(6)))
    assert results.count(False) == 1
    assert set(results) <= {False, True, "another process is making it"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s"]
    assert SessionReader(tmp_path / "out/s").lost == []


def test_a_failure_in_the_middle_leaves_nothing(make, monkeypatch, tmp_path):
    def fail(part, session):
        assert part.is_dir()
        raise ZeroDivisionError

    monkeypatch.setattr(extracting, "_finish", fail)
    with pytest.raises(ZeroDivisionError):
        make()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_session_that_was_made_meanwhile_is_kept(make, monkeypatch, tmp_path):
    finish = extracting._finish

    def late(part, session):
        shutil.copytree(part, session)
        finish(part, session)

    monkeypatch.setattr(extracting, "_finish", late)
    with pytest.raises(UserError, match="cannot be written"):
        make()
    monkeypatch.undo()
    assert make().kept


def test_other_settings_are_another_session(make):
    make(end=None)
    with pytest.raises(UserError, match="another bundle or other options"):
        make(end=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_that_is_no_text(recording, tiny_bundle, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.mkv"))
    recording.rename(odd)
    extract(odd, tmp_path / "out" / odd.stem, tiny_bundle, lambda: MediaSource(odd), settings={})
    assert SessionReader(tmp_path / "out" / odd.stem).description["extracted"]["file"] == "a?.mkv"


def test_a_session_of_an_xdf_file(tiny_bundle, tmp_path):
    path = write_xdf(tmp_path / "lab.xdf", audio())
    done = extract(path, tmp_path / "s", tiny_bundle, lambda: XdfSource(path), settings={})
    assert done.presence["audio"] > 0.9
