"""XDF files that are gzipped, damaged, cut off, or partly empty."""

import gzip
import resource
import struct

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.run import Run
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.sources.xdf_chunks import BOUNDARY
from enrapt.realtime.sources.xdf_file import is_xdf, read_contents
from tests.support.xdf_files import (
    Stream,
    audio,
    chunk,
    empty,
    encoded,
    face,
    length,
    write,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("error")


def replayed(path, bundle):
    """Present modalities at each tick, and the run."""
    with Run(XdfSource(path), bundle) as run:
        present = [estimate.present for estimate in run]
    for counts in run.counts.values():
        assert counts.captured == counts.used + counts.dropped.total()
    return present, run


@pytest.mark.parametrize("name", ["a.xdfz", "a.xdf.gz", "a.dat"])
def test_gzipped_files_are_read_by_their_content(tiny_bundle, tmp_path, name):
    plain = write(tmp_path / "plain.xdf", face(2), audio(2))
    path = tmp_path / name
    path.write_bytes(gzip.compress(plain.read_bytes()))
    assert is_xdf(path)
    assert read_contents(path) == read_contents(plain)
    present, run = replayed(path, tiny_bundle)
    assert present == replayed(plain, tiny_bundle)[0]
    assert not run.source.problems
    whole = path.read_bytes()
    for cut in (1, 9, 200, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        _, run = replayed(path, tiny_bundle)
        assert "gzip data are damaged or cut off" in run.source.problems[0]
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(damaged)
    assert "gzip" in replayed(path, tiny_bundle)[1].source.problems[0]
    path.write_bytes(gzip.compress(b"RIFF"))
    assert not is_xdf(path)
    path.write_bytes(whole[:12])
    assert not is_xdf(path)


def test_a_large_gzipped_file_is_unpacked_in_little_memory(tmp_path):
    path = tmp_path / "a.xdfz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"XDF:" + chunk(1, b"<info/>"))
        for _ in range(300):
            file.write(chunk(99, bytes(10**6)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not read_contents(path).problems
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB; its pages are mapped


def test_chunks_without_samples_are_read(tiny_bundle, tmp_path):
    first, *rest, footer = encoded([face(2)])
    nothing = [
        chunk(3, struct.pack("<I", 1) + length(0)),
        chunk(3, struct.pack("<I", 1)),
        b"\1\0",
    ]
    path = tmp_path / "a.xdf"
    path.write_bytes(b"".join([first, rest[0], *nothing, *rest[1:], *nothing, footer, *nothing]))
    present, run = replayed(path, tiny_bundle)
    assert len(present) == 50
    assert run.counts["face"].captured == 60
    assert not run.source.problems
    assert not run.source.notes


def test_damage_before_readable_data_is_a_note_and_a_cut_end_a_problem(tiny_bundle, tmp_path):
    data = bytearray(write(tmp_path / "a.xdf", face(6), audio(6)).read_bytes())
    third = [k for k in range(len(data)) if data[k : k + 16] == BOUNDARY][2]
    data[third + 16 : third + 300] = b"\7" * 284
    path = tmp_path / "b.xdf"
    path.write_bytes(data)
    present, run = replayed(path, tiny_bundle)
    assert not run.source.problems
    (line,) = run.source.notes
    assert "cannot be read; what they held is lost" in line
    assert sum(p["face"] for p in present) > 120
    path.write_bytes(data[:-3000])
    _, run = replayed(path, tiny_bundle)
    assert len(run.source.problems) == len(run.source.notes) == 1


def test_any_flipped_or_zeroed_bytes_are_read_or_refused_in_one_line(tiny_bundle, tmp_path):
    marks = Stream("Markers", np.array([100.5, 101.0]), ["a", "b"], format="string")
    data = write(tmp_path / "a.xdf", face(1), audio(1), marks).read_bytes()
    random = np.random.default_rng(5)
    path = tmp_path / "b.xdf"
    for n in range(150):
        damaged = bytearray(data)
        at = int(random.integers(len(data)) if n % 2 else random.integers(1200))
        if n % 3:
            damaged[at] ^= 1 << int(random.integers(8))
        else:
            damaged[at : at + 64] = bytes(min(64, len(data) - at))
        path.write_bytes(damaged)
        try:
            replayed(path, tiny_bundle)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_what_a_file_holds_is_told(tmp_path):
    marks = Stream("Markers", np.array([100.5]), ["a"], format="string", offsets=False)
    path = write(tmp_path / "a.xdf", face(2, begin=5100.0, ahead=5000.0), empty("eye", 3, 0), marks)
    found = read_contents(path)
    assert [(s.number, s.name, s.samples, s.offsets > 0) for s in found.streams] == [
        (1, "tracker", 60, True), (2, "eye", 0, False), (3, "Markers", 1, False),
    ]  # fmt: skip
    spans = [s.span for s in found.streams]
    assert spans[0] == pytest.approx((100, 100 + 59 / 30))
    assert spans[1:] == [None, (100.5, 100.5)]
    assert str(found.streams[0]) == "tracker (57 channels at 30 Hz)"
