"""What is read of a recording: everything, in a defined order."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.sources.reading import Material
from enrapt.realtime.sources.reading import read as read_material
from enrapt.realtime.streams.samples import SECOND, Frame, Sample, Sound

MS = 1_000_000


def frame(milliseconds: int, size: int = 2) -> Frame:
    return Frame(milliseconds * MS, np.zeros((size, size, 3), np.uint8))


def sound(milliseconds: int) -> Sound:
    """40 ms of noise that ends at that time."""
    noise = np.random.default_rng(milliseconds).normal(0, 0.1, 640).astype(np.float32)
    return Sound((milliseconds - 40) * MS, noise)


def first_tick(originating_time: int) -> int:
    return -(-originating_time // (40 * MS))


def read(recording, *, audio=True, pictures=True, in_order=False) -> Iterator[Material]:
    return read_material(recording, AudioFeatures("audio") if audio else None, pictures, first_tick, in_order)


def times(found: Sequence[Material], kind: type) -> list[int]:
    return [m.time // MS for m in found if isinstance(m.content, kind)]


def test_material_comes_in_the_order_of_the_file(scripted):
    items = [frame(0), frame(40), sound(40), frame(80), sound(80), sound(120), frame(120)]
    found = list(read(scripted(items)))
    # But a picture waits for the next one, which shows whether it matters.
    assert [(type(m.content), m.time // MS) for m in found] == [
        (Frame, 0), (Sample, 40), (Frame, 40), (Sample, 80), (Sample, 120), (Frame, 80), (Frame, 120),
    ]  # fmt: skip


def test_a_superseded_picture_is_left_out_and_counted(scripted):
    recording = scripted([frame(k) for k in (0, 8, 16, 40, 41, 80)])
    found = list(read(recording, audio=False))
    # The ticks are at 0, 40 and 80 ms: 8 and 16 give way to 40, and 41 to 80.
    assert times(found, Frame) == [0, 40, 80]
    assert recording.found.pictures == {"superseded": 3}


def test_what_does_not_matter_is_left_out(scripted):
    items = [frame(0), sound(40), frame(40), sound(80)]
    assert times(list(read(scripted(items), audio=False)), Sample) == []
    assert times(list(read(scripted(items), pictures=False)), Frame) == []


@given(lead=st.integers(0, 30), length=st.integers(0, 30), audio_leads=st.booleans())
def test_in_order_sorts_a_stream_that_leads_in_the_file(scripted, lead, length, audio_leads):
    pictures = [frame(40 * k) for k in range(length)]
    sounds = [sound(40 * k) for k in range(1, length + 1)]
    ahead, behind = (sounds, pictures) if audio_leads else (pictures, sounds)
    items: list[Frame | Sound] = []
    for k in range(length + lead):
        items += ahead[k : k + 1] + (behind[k - lead : k - lead + 1] if k >= lead else [])
    found = list(read(scripted(items), in_order=True))
    assert [m.time for m in found] == sorted(m.time for m in found)
    assert times(found, Frame) == [40 * k for k in range(length)]
    assert times(found, Sample) == [40 * k for k in range(1, length + 1)]


def test_in_order_a_picture_may_lie_between_two_samples_of_one_sound(scripted):
    long = Sound(0, np.random.default_rng(0).normal(0, 0.1, 3 * 640).astype(np.float32))
    items = [frame(0), frame(40), long, frame(80), frame(120), frame(160)]
    found = list(read(scripted(items), in_order=True))
    assert times(found, Sample) == [40, 80, 120]
    assert [m.time for m in found] == sorted(m.time for m in found)
    for k, material in enumerate(found):
        assert all(later.time > material.settled for later in found[k + 1 :])


def test_in_order_holds_back_no_more_than_it_may(scripted, monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.reading.HELD", 10 * 300)
    held = 0

    def items():
        nonlocal held
        for held in count():
            yield frame(40 * held, size=10)  # 300 bytes, and never a sound

    next(read(scripted(items()), in_order=True))
    assert held == 11  # and one that waits for the next


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("pause", [0, 70])
def test_a_stream_that_is_far_behind_is_settled_without_it(scripted, monkeypatch, in_order, pause):
    monkeypatch.setattr("enrapt.realtime.sources.reading.SKEW", SECOND)
    sounds = [sound(40 * k) for k in range(1, 100)]
    resumed = [frame(4000 + 40 * k) for k in range(3)] if pause else []
    items = [frame(0), frame(40), *sounds, *resumed]
    found = list(read(scripted(items), in_order=in_order))
    assert times(found, Frame) == [f.originating_time // MS for f in items if isinstance(f, Frame)]
    assert times(found, Sample) == [40 * k for k in range(1, 100)]
    for k, material in enumerate(found):
        assert all(later.time > material.settled for later in found[k + 1 :])
    assert max(m.settled for m in found) >= max(m.time for m in found) - SECOND


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError()])
def test_what_the_recording_raises_comes_after_what_it_gave(scripted, in_order, error):
    recording = scripted([frame(0), sound(40), frame(40), sound(80), frame(80)], error)
    found: list[Material] = []
    with pytest.raises(type(error)):
        found.extend(read(recording, in_order=in_order))
    assert times(found, Frame) == [0, 40, 80]
    assert times(found, Sample) == [40, 80]
