"""Recordings as browsers play them."""

import stat
import sys

import av
import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.annotate.playable import playable
from tests.support.annotated import BITS, BLOCK, RATE, film
from tests.support.recordings import write


def numbers(path) -> list[tuple[float, int]]:
    """Time and number of each picture."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            scale = frame.width / (BITS * BLOCK)
            row = frame.to_ndarray(format="gray")[frame.height // 2]
            bits = [row[int((bit + 0.5) * BLOCK * scale)] > 127 for bit in range(BITS)]
            found.append(
                (float(frame.pts * frame.time_base), sum(1 << k for k, is_set in enumerate(bits) if is_set))
            )
    return found


def test_what_browsers_play_is_played_itself(tmp_path):
    path = film(tmp_path / "a.mp4", 1.0, codec="libx264")
    played = playable(path, tmp_path / "copies", own_axis=False)
    assert (played.path, played.kind, played.offset) == (path.absolute(), "video/mp4", 0.0)
    assert played.duration == pytest.approx(1.0, abs=0.1)
    assert not (tmp_path / "copies").exists()


def test_of_others_a_copy_has_the_same_pictures_at_the_same_times(tmp_path):
    path = film(tmp_path / "a.mkv", 3.0, start=7.5)
    (tmp_path / "copies").mkdir()
    played = playable(path, tmp_path / "copies", own_axis=True)
    assert played.kind == "video/webm"
    assert played.path.parent == tmp_path / "copies"
    if sys.platform != "win32":
        assert stat.S_IMODE(played.path.stat().st_mode) == 0o600
    assert played.offset == 7.5
    assert played.end == pytest.approx(10.5, abs=0.05)
    found = numbers(played.path)
    assert [number for _, number in found] == list(range(3 * RATE))
    assert all(abs(time - number / RATE) < 0.0015 for time, number in found)


def test_progress_goes_to_the_end(tmp_path):
    shares: list[float] = []
    playable(film(tmp_path / "a.mkv", 2.0), tmp_path, own_axis=True, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0, abs=0.05)


def test_without_an_axis_of_its_own_time_0_is_the_beginning(tmp_path):
    path = film(tmp_path / "a.mkv", 1.0, start=7.5)
    assert playable(path, tmp_path, own_axis=False).offset == 0.0


def test_on_its_own_axis_a_long_gap_stays(tmp_path):
    path = write(tmp_path / "a.mkv", pictures=[1.0, 1.04, 90.0, 90.04])
    played = playable(path, tmp_path, own_axis=True)
    assert played.offset == 1.0
    with av.open(str(played.path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert times == pytest.approx([0.0, 0.04, 89.0, 89.04], abs=0.002)


def test_sound_is_silent_where_it_is_missing(tmp_path):
    path = write(tmp_path / "a.mkv", sound=(0.0, 3.0), missing=(1.0, 2.0))
    played = playable(path, tmp_path, own_axis=True)
    with av.open(str(played.path)) as container:
        assert not container.streams.video
        loud = {}
        for frame in container.decode(audio=0):
            values = frame.to_ndarray()
            loud[round(float(frame.pts * frame.time_base), 2)] = float(abs(values).max())
    assert max(level for time, level in loud.items() if 1.1 < time < 1.9) < 0.01
    assert min(level for time, level in loud.items() if 2.2 < time < 2.8) > 0.3
    assert played.duration == pytest.approx(3.0, abs=0.1)


def test_pictures_of_other_sizes_and_large_ones_fit(tmp_path):
    path = write(tmp_path / "a.mkv", pictures=[0.0, 0.04], size=(1921, 1081), codec="ffv1", pixels="bgr0")
    played = playable(path, tmp_path, own_axis=False)
    with av.open(str(played.path)) as container:
        stream = container.streams.video[0]
        assert stream.width <= 960
        assert stream.width / stream.height == pytest.approx(1921 / 1081, abs=0.01)


def test_what_is_cut_is_played_up_to_there(tmp_path):
    path = film(tmp_path / "a.mkv", 4.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    played = playable(path, tmp_path, own_axis=True)
    assert 1.0 < played.duration < 3.0
    assert played.notes


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("no film")
    with pytest.raises(UserError, match=r"a\.mp4"):
        playable(path, tmp_path, own_axis=False)


def test_a_copy_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UserError, match="no copy that browsers play"):
        playable(film(tmp_path / "a.mkv", 0.5), tmp_path / "missing", own_axis=False)
