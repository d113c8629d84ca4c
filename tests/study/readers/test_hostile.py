"""Any bytes, and valid files with changed bytes, give tracks or an error in one line; in bounded time."""

import json
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.study.readers.contents import Samples
from enrapt.study.readers.file import read_file
from enrapt.study.readers.nova import read_annotation
from enrapt.study.readers.subtitles import read_subtitles
from tests.support import xdf_files
from tests.support.damage import damaged
from tests.support.hostile import result_or_error
from tests.support.study_files import SRT, TURNS, VTT, elan, nova, openface, ssi_stream

MAPPING = 'unit = "ms"\nstart = "a"\nend = "b"\nvalue = "c"\nrater = "d"\n'
SUFFIXES = [".eaf", ".annotation", ".stream", ".vtt", ".srt", ".csv", ".tsv", ".xdf", ""]


def examples(folder: Path) -> dict[str, Path]:
    rows = np.random.default_rng(0).normal(size=(20, 25))
    made = {
        "eaf": folder / "a.eaf",
        "vtt": folder / "a.vtt",
        "srt": folder / "a.srt",
        "trace": folder / "trace.csv",
        "opensmile": folder / "opensmile.csv",
        "discrete": nova(folder / "d.annotation", "DISCRETE", [(0, 1, 1, 1), (2, 3, 0, 1)], binary=True),
        "free": nova(folder / "f.annotation", "FREE", [(0, 1, "yes", 1), (2, 3, "no", 1)], binary=True),
        "continuous": nova(folder / "c.annotation", "CONTINUOUS", [(0.5, 1)] * 9, scheme='sr="25"'),
        "stream": ssi_stream(folder / "s.stream", rows),
        "openface": openface(folder / "openface.csv", rows),
        "xdf": xdf_files.write(folder / "a.xdf", xdf_files.face(1.0), _markers()),
    }
    made["eaf"].write_text(elan(TURNS))
    made["vtt"].write_text(VTT)
    made["srt"].write_text(SRT)
    made["trace"].write_text("time;value\n0,5;1\n1,5;2\n")
    made["opensmile"].write_text("name;frameTime;F0\n'a';0.0;1.5\n'a';0.01;2\n")
    return made


def _markers():
    return xdf_files.Stream("marks", 100 + np.arange(3.0), ["a", "b", "c"], format="string")


NAMES = [
    "eaf",
    "vtt",
    "srt",
    "trace",
    "opensmile",
    "discrete",
    "free",
    "continuous",
    "stream",
    "openface",
    "xdf",
]


def tracks_of(path, **options):
    found = result_or_error(lambda: read_file(path, **options))
    for track in found or ():
        if isinstance(track, Samples):
            assert track.values.shape == (len(track.times), len(track.features))
        else:
            assert len(track.start) == len(track.end) == len(track.text) == len(track.confidence)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_read(tmp_path, name):
    assert tracks_of(examples(tmp_path)[name])


@pytest.mark.parametrize("name", NAMES)
def test_files_with_changed_bytes(tmp_path, name):
    path = examples(tmp_path)[name]
    parts = [part for part in (path, path.with_name(f"{path.name}~")) if part.exists()]
    whole = {part: part.read_bytes() for part in parts}
    for seed in range(40 if name == "xdf" else 150):
        rng = random.Random(seed)
        part = rng.choice(parts)
        part.write_bytes(damaged(whole[part], rng))
        tracks_of(path)
        part.write_bytes(whole[part])


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(SUFFIXES), st.booleans())
def test_any_bytes(tmp_path_factory, content, suffix, tilde):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(content)
    if tilde:
        path.with_name(f"{path.name}~").write_bytes(content)
    tracks_of(path)


@settings(max_examples=150)
@given(
    st.text('0123456789.,;:\t\n" -eabcd_+nN', max_size=120),
    st.sampled_from([".csv", ".vtt", ".txt"]),
    st.booleans(),
)
def test_any_text(tmp_path_factory, content, suffix, mapped):
    folder = tmp_path_factory.mktemp("any")
    path, mapping = folder / f"a{suffix}", folder / "map.toml"
    path.write_text("a,b,c,d\n" * mapped + content)
    mapping.write_text(MAPPING)
    tracks_of(path, mapping=mapping if mapped else None)


KEYS = ["unit", "start", "end", "value", "rater", "time", "values", "text", "rate", "offset", "nothing"]
VALUES = st.one_of(
    st.text("abcd", max_size=2), st.integers(), st.floats(), st.lists(st.text("abcd", max_size=1))
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_mapping(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.csv").write_text("a,b,c,d\n0,1,2,x\n")
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in content.items())
    (folder / "map.toml").write_text(lines, errors="replace")
    tracks_of(folder / "a.csv", mapping=folder / "map.toml")


@pytest.mark.parametrize("declared", ["99999999999999", "-1", "1e400", "nan"])
@pytest.mark.parametrize("attribute", ["num", "from", "sr", "dim", "byte"])
def test_sizes_that_a_stream_only_claims(tmp_path, attribute, declared):
    path = ssi_stream(tmp_path / "a.stream", np.zeros((4, 2)))
    text = path.read_text()
    begin = text.index(f'{attribute}="') + len(attribute) + 2
    path.write_text(text[:begin] + declared + text[text.index('"', begin) :])
    tracemalloc.start()
    tracks_of(path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_times_are_bounded(tmp_path):
    began = time.perf_counter()
    cues = tmp_path / "a.vtt"
    cues.write_text("00:01.000 --> 00:02.000\n" * 20_000 + "<v" + " <v" * 20_000)
    result_or_error(lambda: read_subtitles(cues))
    deep = tmp_path / "b.annotation"
    deep.write_text("<annotation>" * 100_000)
    assert result_or_error(lambda: read_annotation(deep)) is None
    table = tmp_path / "c.csv"
    table.write_text('time,"' + "x\n" * 50_000)
    tracks_of(table)
    assert time.perf_counter() - began < 10


def test_a_pipe_is_not_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.eaf")
    assert tracks_of(tmp_path / "a.eaf") is None
    assert tracks_of(tmp_path) is None
    assert tracks_of(tmp_path / "nothing.eaf") is None
