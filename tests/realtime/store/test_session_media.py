"""Pictures and sound on the disk, and read again."""

import contextlib
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.reformatter import Interpolation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.demux import BrokenRecording
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.store import media as session_media
from enrapt.realtime.store.media import ROOM, MediaWriter
from enrapt.realtime.streams.samples import SECOND, Frame, Sound
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.recordings import MS, joined, read, times

pytestmark = pytest.mark.live

BLOCK = RATE // 100  # samples: 10 ms


def image(k: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """BGR: smooth colours, noise in a corner that is different for each k."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    colours = np.stack([x, y, np.full_like(x, 7 * k % 256)], axis=-1).astype(np.uint8)
    colours[:8, :8] = np.random.default_rng(k).integers(0, 255, (8, 8, 3))
    return colours


def jpeg(k: int, size: tuple[int, int] = (64, 48)) -> bytes:
    done, data = cv2.imencode(".jpg", image(k, size))
    assert done
    return bytes(data)


def decoded(data: bytes) -> NDArray[np.uint8]:
    codec = CodecContext.create("mjpeg", "r")
    [frame] = codec.decode(Packet(data)) + codec.decode(None)
    same_everywhere = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
    return frame.to_ndarray(format="rgb24", interpolation=same_everywhere)


def sound(at: int, n: int = BLOCK) -> Sound:
    """Noise that starts `at` ns; the same for the same time."""
    return Sound(at, np.random.default_rng(at).uniform(-1, 1, n).astype(np.float32))


def packets(path: Path, kind: str) -> list[tuple[int, bytes]]:
    """Times in ms and bytes, as FFmpeg reads them, without any of our own code."""
    with av.open(str(path)) as container:
        [stream] = [stream for stream in container.streams if stream.type == kind]
        assert stream.time_base.denominator == 1000
        return [(packet.pts, bytes(packet)) for packet in container.demux(stream) if packet.size]


def shown_and_heard(path: Path) -> tuple[list[Frame], list[Sound]]:
    """What there is before the file breaks off, if it does."""
    frames: list[Frame] = []
    sounds: list[Sound] = []
    with contextlib.suppress(BrokenRecording):
        for item in Recording(path):
            frames.append(item) if isinstance(item, Frame) else sounds.append(item)
    return frames, sounds


def conserved(writer: MediaWriter) -> bool:
    return all(counts.waiting == 0 for counts in writer.counts.values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "media.mkv"


def test_a_camera_and_a_microphone_come_back_as_they_were(path: Path) -> None:
    at = [40 * MS + k * SECOND // 30 for k in range(60)]
    blocks = [sound(k * 10 * MS) for k in [*range(80), *range(130, 200)]]  # half a second is missing
    with MediaWriter(path) as writer:
        for k in range(60):
            writer.picture(at[k], jpeg(k))
        for block in blocks:
            writer.sound(block)
    assert conserved(writer)
    assert (writer.counts["pictures"].used, writer.counts["sound"].used) == (60, 150)

    assert packets(path, "video") == [(round(t / MS), jpeg(k)) for k, t in enumerate(at)]
    assert packets(path, "audio") == [(b.originating_time // MS, b.samples.tobytes()) for b in blocks]

    recording = Recording(path)
    assert (recording.video is not None, recording.audio is not None) == (True, True)
    assert recording.duration == pytest.approx(at[-1] / SECOND, abs=0.05)
    frames, sounds = read(recording)
    assert times(frames) == [round(t / MS) * MS for t in at]
    assert frames[0].image.shape == (48, 64, 3)
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, decoded(jpeg(k)))
    [gap] = [
        n
        for n, (a, b) in enumerate(itertools.pairwise(sounds), 1)
        if b.originating_time - a.originating_time > a.samples.size * SECOND // RATE + MS
    ]
    for part, (first, expected) in zip(
        (sounds[:gap], sounds[gap:]), ((0.0, blocks[:80]), (1.3, blocks[80:])), strict=True
    ):
        start, samples = joined(part)
        assert start == pytest.approx(first, abs=1e-3)
        np.testing.assert_array_equal(samples, np.concatenate([block.samples for block in expected]))


def test_a_part_of_it_is_found_by_its_index(path: Path) -> None:
    with MediaWriter(path) as writer:
        for k in range(200):
            writer.picture(3 * SECOND + k * 40 * MS, jpeg(k))
            writer.sound(sound(3 * SECOND + k * 40 * MS, 4 * BLOCK))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        container.seek(5000, stream=stream)
        assert stream.index_entries[-1].timestamp > 10_500  # ms; it knows more than what it read
    frames, heard = read(Recording(path, 6.0, 7.0))
    assert times(frames) == [k * 40 * MS for k in range(150, 175)]
    np.testing.assert_array_equal(frames[0].image, decoded(jpeg(150)))
    start, samples = joined(heard)
    assert start == 6.0
    np.testing.assert_array_equal(samples[: 4 * BLOCK], sound(9 * SECOND, 4 * BLOCK).samples)


def test_pictures_that_are_no_jpeg_become_good_ones(path: Path) -> None:
    smooth = [cv2.GaussianBlur(image(k, (321, 241)), (0, 0), 2)[:, :, ::-1] for k in range(5)]  # RGB, a view
    with MediaWriter(path, sound=False) as writer:
        for k, picture in enumerate(smooth):
            writer.picture(k * 40 * MS, picture)
    frames, _ = read(Recording(path))
    for frame, picture in zip(frames, smooth, strict=True):
        error = frame.image.astype(float) - picture
        assert abs(error.mean(axis=(0, 1))).max() < 1  # no colour is shifted
        assert 10 * np.log10(255**2 / (error**2).mean()) > 46  # dB


@pytest.mark.parametrize("start", [0, 20])  # s; devices take theirs to open
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(("pictures", "sounds"), [(True, True), (True, False), (False, True)])
def test_any_of_the_two_may_be_missing(
    path: Path, pictures: bool, sounds: bool, declared: bool, start: int
) -> None:
    """Declared or not: a camera may be asked for, and never come."""
    with MediaWriter(path, pictures=pictures or declared, sound=sounds or declared) as writer:
        for k in range(10):
            if pictures:
                writer.picture(start * SECOND + k * 40 * MS, jpeg(k))
            if sounds:
                writer.sound(sound(start * SECOND + k * 10 * MS))
    assert conserved(writer)
    recording = Recording(path)
    frames, heard = read(recording)
    assert (recording.video is not None, recording.audio is not None) == (
        pictures or declared,
        sounds or declared,
    )
    assert len(frames) == 10 * pictures
    assert sum(part.samples.size for part in heard) == 10 * BLOCK * sounds
    assert recording.duration == pytest.approx(0.36 if pictures else 0.1, abs=0.05)


def test_where_nothing_came_no_file_is_left(path: Path) -> None:
    with MediaWriter(path) as writer:
        writer.picture(0, b"broken")
        assert path.exists()
    assert not path.exists()


def test_a_camera_that_comes_late_has_its_own_size_nevertheless(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(session_media, "_FIRST", 0.05)
    with MediaWriter(path) as writer:
        for k in range(700):
            writer.sound(sound(k * 10 * MS))
            if k == 20:
                time.sleep(0.2)
                assert path.stat().st_size > 0  # the header did not wait for it any longer
        for k in range(5):
            writer.picture(7 * SECOND + k * 40 * MS, jpeg(k))
    frames, heard = read(Recording(path))
    assert times(frames) == [7 * SECOND + k * 40 * MS for k in range(5)]
    np.testing.assert_array_equal(frames[0].image, decoded(jpeg(0)))
    assert joined(heard)[1].size == 700 * BLOCK


def test_a_camera_may_come_back_with_another_size(path: Path) -> None:
    sizes = [(64, 48)] * 3 + [(160, 120)] * 3 + [(48, 64)] * 3 + [(64, 48)] * 3
    with MediaWriter(path, sound=False) as writer:
        for k, size in enumerate(sizes):
            picture = image(k, size)
            writer.picture(2 * k * 40 * MS, jpeg(k, size))
            writer.picture((2 * k + 1) * 40 * MS, picture)
    frames, _ = read(Recording(path))
    assert [frame.image.shape[1::-1] for frame in frames] == [size for size in sizes for _ in range(2)]
    for k, size in enumerate(sizes):
        np.testing.assert_array_equal(frames[2 * k].image, decoded(jpeg(k, size)))


def test_what_cannot_be_decoded_is_dropped_and_ends_no_replay(path: Path) -> None:
    whole = jpeg(0, (640, 480))
    scan = whole.index(b"\xff\xda")
    broken = [b"", b"\xff\xd8", b"\xff" * 100, b"nothing" * 100, whole[:scan], whole[: scan + 20], whole[2:]]
    torn = [
        whole[: len(whole) // 2],
        whole + bytes(5000),
        b"\xff\xd8\xff" + whole[2:],
    ]
    with MediaWriter(path, sound=False) as writer:
        for k, picture in enumerate([*broken, *torn, whole]):
            writer.picture(k * 40 * MS, picture)
    counts = writer.counts["pictures"]
    assert (counts.used, counts.dropped) == (4, {"broken": 7})
    recording = Recording(path)
    assert len(read(recording)[0]) == 3
    assert recording.found.pictures == {"corrupt": 1}  # the half


def test_times_that_step_back_are_dropped(path: Path) -> None:
    with MediaWriter(path) as writer:
        for at in (-1, 0, 40, 40, 39, 41):
            writer.picture(at * MS, jpeg(0))
        writer.picture(41 * MS + 400_000, jpeg(0))  # less than half a millisecond later
        writer.sound(Sound(-MS, np.ones(5, np.float32)))
        for at, n in ((0, 5), (312_500, 5), (625_000, 150), (9 * MS, 5)):
            writer.sound(sound(at, n))
    assert writer.counts["pictures"].dropped == {"negative": 1, "backward": 3}
    assert [at for at, _ in packets(path, "video")] == [0, 40, 41]
    assert writer.counts["sound"].dropped == {"negative": 1}
    assert [at for at, _ in packets(path, "audio")] == [0, 1, 2, 9]
    assert conserved(writer)


def test_wrong_arrays_are_value_errors(path: Path) -> None:
    with MediaWriter(path) as writer:
        for picture in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
            with pytest.raises(ValueError, match="uint8"):
                writer.picture(0, picture)
        for samples in (np.zeros(4), np.zeros((4, 2), np.float32), np.zeros(0, np.float32)):
            with pytest.raises(ValueError, match="float32"):
                writer.sound(Sound(0, samples))
    assert all(counts.captured == 0 for counts in writer.counts.values())


@pytest.mark.skipif(os.name != "posix", reason="no such permissions")
def test_only_its_owner_may_read_it(path: Path) -> None:
    mask = os.umask(0)
    try:
        writer = MediaWriter(path)
    finally:
        os.umask(mask)
    with writer:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_or_cannot_be_written_is_a_user_error(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(UserError, match=r"media\.mkv: is there already; give a new name"):
        MediaWriter(path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(UserError, match="cannot be written"):
        MediaWriter(path / "in it")


def test_after_the_end_nothing_is_kept(path: Path) -> None:
    with MediaWriter(path) as writer:
        writer.picture(0, jpeg(0))
    before = path.read_bytes()
    writer.picture(SECOND, jpeg(1))
    writer.close()
    assert path.read_bytes() == before
    assert writer.counts["pictures"].dropped == {"after_end": 1}
    assert not [thread for thread in threading.enumerate() if thread.name == "enrapt media"]


def test_cut_anywhere_it_gives_what_came_before(path: Path) -> None:
    with MediaWriter(path) as writer:
        for k in range(25):
            writer.picture(k * 40 * MS, jpeg(k))
            for j in range(4):
                writer.sound(sound((4 * k + j) * 10 * MS))
    whole = [frame.image for frame in shown_and_heard(path)[0]]
    samples = np.concatenate([sound(k * 10 * MS).samples for k in range(100)])
    data = path.read_bytes()
    seen = []
    for size in range(2000, len(data), len(data) // 40):
        path.write_bytes(data[:size])
        frames, sounds = shown_and_heard(path)
        heard = np.concatenate([part.samples for part in sounds]) if sounds else np.empty(0)
        for frame, expected in zip(frames, whole, strict=False):
            np.testing.assert_array_equal(frame.image, expected)
        np.testing.assert_array_equal(heard, samples[: heard.size])
        seen.append(len(frames))
        assert len(frames) >= 25 * size // len(data) - 2
    assert seen == sorted(seen)
    assert seen[-1] >= 24


# Seconds of pictures and of sound: either may be lost, or never come.
ENDS = [(9, 9), (9, 0), (0, 9), (0.6, 9), (9, 0.5)]

# A process that records them all in real time, and prints the blocks that it has given to the writers.
CHILD = """
import sys, time
from pathlib import Path
from tests.realtime.store.test_session_media import ENDS, MS, MediaWriter, jpeg, sound
writers = {ends: MediaWriter(Path(sys.argv[1]) / f"{i}.mkv") for i, ends in enumerate(ENDS)}
pool, start = [jpeg(k) for k in range(100)], time.monotonic_ns()
for k in range(900):
    for (pictures, sounds), writer in writers.items():
        if k % 4 == 0 and k / 100 < pictures:
            writer.picture(k * 10 * MS, pool[k // 4 % 100])
        if k / 100 < sounds:
            writer.sound(sound(k * 10 * MS))
    print(k, flush=True)
    time.sleep(max(0, start + (k + 1) * 10 * MS - time.monotonic_ns()) / 1e9)
"""


def test_a_killed_process_loses_at_most_the_last_second(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        blocks_given = [int(child.stdout.readline())]  # it has begun
        time.sleep(1.8)
        child.send_signal(signal.SIGKILL)
        blocks_given += map(int, child.stdout.read().split())
    for i, (pictures, sounds) in enumerate(ENDS):
        with pytest.raises(BrokenRecording):
            read(Recording(tmp_path / f"{i}.mkv"))
        frames, heard = shown_and_heard(tmp_path / f"{i}.mkv")
        for k, frame in enumerate(frames):
            assert frame.originating_time == k * 40 * MS
            np.testing.assert_array_equal(frame.image, decoded(jpeg(k)))
        samples = np.concatenate([np.empty(0), *(part.samples for part in heard)])
        blocks = samples.size // BLOCK
        expected = np.concatenate([np.empty(0), *(sound(k * 10 * MS).samples for k in range(blocks))])
        np.testing.assert_array_equal(samples, expected)
        assert len(frames) * 0.04 >= min(pictures, blocks_given[-1] / 100 - 1)
        assert blocks * 0.01 >= min(sounds, blocks_given[-1] / 100 - 1)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@needs_limits
def test_on_a_full_disk_what_came_before_is_kept_and_the_error_is_raised_once(path: Path) -> None:
    writer = MediaWriter(path)
    with files_no_larger_than(60_000):
        for k in range(50):
            writer.picture(k * 40 * MS, jpeg(k))
            writer.sound(sound(k * 40 * MS, 4 * BLOCK))
        until(lambda: writer.counts["sound"].dropped["failed"])
        with pytest.raises(UserError) as caught:
            writer.check()
        writer.picture(3 * SECOND, jpeg(0))
        writer.check()
        writer.close()
    assert str(caught.value) == (
        f"{path}: cannot be written any more (File too large); "
        "pictures and sound up to here are kept, none after it"
    )
    assert conserved(writer)
    counts = writer.counts["pictures"]
    assert counts.used + counts.dropped["failed"] == 51
    frames, sounds = shown_and_heard(path)
    assert counts.used - 25 <= len(frames) <= counts.used < 50
    assert len(frames) > 10
    assert path.stat().st_size < 60_000  # the cluster that did not fit was taken back
    np.testing.assert_array_equal(frames[-1].image, decoded(jpeg(len(frames) - 1)))
    assert joined(sounds)[1].size > len(frames) * 3 * BLOCK


@needs_limits
@pytest.mark.parametrize("size", [0, 100, -2000, -200, -1])
def test_a_disk_that_is_full_at_the_beginning_or_the_end_is_a_user_error(path: Path, size: int) -> None:
    def record(file: Path) -> MediaWriter:
        with MediaWriter(file) as writer:
            for k in range(25):
                writer.picture(k * 40 * MS, jpeg(k))
        return writer

    if size < 0:
        record(path.with_name("whole.mkv"))
        size += path.with_name("whole.mkv").stat().st_size
    with files_no_larger_than(size), pytest.raises(UserError, match="cannot be written any more"):
        record(path)
    assert path.exists() == (size > 1000)
    if size > 1000:
        frames, _ = shown_and_heard(path)
        assert len(frames) >= 25 - 7  # a quarter of a second waits for each other in a cluster
        for k, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, decoded(jpeg(k)))


@needs_limits
def test_an_error_of_the_session_is_not_hidden_by_one_of_the_file(path: Path) -> None:
    def fail() -> None:
        with files_no_larger_than(100), MediaWriter(path) as writer:
            writer.picture(0, jpeg(0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()


class SlowDisk:
    """Blocks every write until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.stopped = threading.Event()
        write = os.write

        def slow(file: int, data: bytes) -> int:
            if threading.current_thread().name == "enrapt media":
                self.stopped.set()
                assert self.go.wait(10)
            return write(file, data)

        monkeypatch.setattr(os, "write", slow)


def test_a_slow_disk_never_blocks_and_what_does_not_fit_is_counted(path: Path, monkeypatch) -> None:
    disk = SlowDisk(monkeypatch)
    monkeypatch.setattr(session_media, "ROOM", ROOM | {"pictures": 200_000})
    large = image(0, (160, 120))
    longest = 0
    with MediaWriter(path) as writer:
        writer.picture(0, large)
        assert disk.stopped.wait(5)
        heard = [sound(k * 10 * MS) for k in range(1500)]
        for k in range(1, 1500):
            began = time.monotonic_ns()
            writer.picture(k * 10 * MS, large)
            writer.sound(heard[k])
            longest = max(longest, time.monotonic_ns() - began)
        assert longest < 300 * MS  # waiting for the disk would have been 10 s
        # Of 57,600 bytes each: one is being written, three have room.
        assert 1500 - 4 <= writer.counts["pictures"].dropped["full"] <= 1500 - 3
        assert writer.counts["sound"].dropped["full"] == 1499 - 1000
        disk.go.set()
    assert conserved(writer)
    assert len(packets(path, "video")) == writer.counts["pictures"].used >= 3
    assert len(packets(path, "audio")) == writer.counts["sound"].used >= 1000


def test_a_file_that_cannot_be_closed_is_a_user_error(path: Path) -> None:
    writer = MediaWriter(path)
    writer.picture(0, jpeg(0))
    close = writer._file.close

    def fail() -> None:
        close()
        raise OSError(5, "Input/output error")

    writer._file.close = fail
    with pytest.raises(UserError, match=r"cannot be written any more \(.*Input/output error\)"):
        writer.close()
    assert conserved(writer)


def test_a_disk_that_hangs_is_given_up_at_the_end(path: Path, monkeypatch) -> None:
    disk = SlowDisk(monkeypatch)
    monkeypatch.setattr(session_media, "_LEAVING", 0.1)
    writer = MediaWriter(path, sound=False)
    for k in range(5):
        writer.picture(k * 40 * MS, jpeg(k))
    with pytest.raises(UserError, match="the disk hangs"):
        writer.close()
    assert conserved(writer)
    assert writer.counts["pictures"].dropped["full"] > 0
    disk.go.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "enrapt media"])


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["jpeg", "rgb", "broken", "sound"]),
        st.one_of(st.integers(-5, 500), st.integers(-1000, 10**10)).map(lambda ms: ms * MS // 3),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS, room=st.integers(1000, 20_000))
def test_nothing_is_lost_uncounted(tmp_path_factory, monkeypatch, calls, room) -> None:
    monkeypatch.setattr(session_media, "ROOM", dict.fromkeys(ROOM, room))
    monkeypatch.setattr(session_media, "_FIRST", 0.01)
    path = tmp_path_factory.mktemp("media") / "media.mkv"
    given = {"pictures": 0, "sound": 0}
    with MediaWriter(path) as writer:
        for kind, at in calls:
            given["sound" if kind == "sound" else "pictures"] += 1
            if kind == "sound":
                writer.sound(sound(abs(at), 200))
            else:
                writer.picture(at, {"jpeg": jpeg(1), "rgb": image(1, (16, 8)), "broken": b"?"}[kind])
    assert conserved(writer)
    assert {name: counts.captured for name, counts in writer.counts.items()} == given
    assert path.exists() == any(counts.used for counts in writer.counts.values())
    for name, kind in {"pictures": "video", "sound": "audio"}.items() if path.exists() else ():
        written = [at for at, _ in packets(path, kind)]
        assert len(written) == writer.counts[name].used
        assert written == sorted(written)
