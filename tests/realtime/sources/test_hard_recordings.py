"""Recordings whose times jump or jitter, that are damaged, or that have several tracks."""

import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.demux import BrokenRecording
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Frame, Sound
from tests.support import hard_cases
from tests.support.hard_cases import Track, multi_track
from tests.support.recordings import MS, content, every, joined, read, times, write

VIDEO = {"pictures": every(0.04, 75), "sound": (0, 3)}
CONTAINERS = {
    "ts": VIDEO | {"codec": "mpeg2video", "sound_codec": "mp2"},
    "mpg": VIDEO | {"codec": "mpeg2video", "sound_codec": "mp2"},
    "webm": VIDEO | {"codec": "libvpx", "sound_codec": "libopus"},
    "flv": {"pictures": every(0.04, 75), "codec": "flv"},
    "mp4": VIDEO | {"codec": "libx264", "sound_codec": "aac"},
    "avi": VIDEO | {"codec": "mpeg4", "sound_codec": "libmp3lame", "rate": 44_100},
    "mp3": {"sound": (0, 3), "sound_codec": "libmp3lame", "rate": 44_100},
    "opus": {"sound": (0, 3), "sound_codec": "libopus"},
    "wav": {"sound": (0, 3)},
}


def length(sounds: list[Sound]) -> float:
    """s of sound; there is no overlap."""
    for a, b in itertools.pairwise(sounds):
        assert b.originating_time >= a.originating_time + a.samples.size * SECOND // RATE - 1
    return sum(sound.samples.size for sound in sounds) / RATE


# Times that start again or jump


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_parts_of_a_joined_file_follow_each_other(tmp_path: Path, suffix: str) -> None:
    part = write(tmp_path / f"part.{suffix}", **CONTAINERS[suffix])
    file = hard_cases.joined(tmp_path / f"a.{suffix}", [part, part, part])
    one, _ = read(Recording(part))
    recording = Recording(file)
    frames, sounds = read(recording)
    assert len(frames) == 3 * len(one)
    assert recording.found.reached / SECOND == pytest.approx(9, abs=0.3)
    assert {b - a for a, b in itertools.pairwise(times(frames))} <= set(range(1, 100 * MS))
    if frames:
        assert times(frames)[-1] == pytest.approx(9 * SECOND, abs=0.3 * SECOND)
    if sounds:
        assert length(sounds) == pytest.approx(9, abs=0.2)
    if suffix in ("avi", "mp3"):  # whose packets FFmpeg counts
        return
    assert [segment.reason for segment in recording.found.segments[1:]] == ["step back"] * 2
    assert all(
        a.at == pytest.approx(k * 3 * SECOND, abs=SECOND / 4) for k, a in enumerate(recording.found.segments)
    )


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (2.5, 3.5), (3.0, None), (4.51, 5.0)])
@pytest.mark.parametrize("suffix", ["ts", "mp4", "webm"])
def test_a_part_of_a_joined_file_is_that_part_of_the_whole(
    tmp_path: Path, suffix: str, start: float, end: float | None
) -> None:
    file = hard_cases.joined(tmp_path / f"a.{suffix}", **CONTAINERS[suffix])
    whole, all_sound = read(Recording(file))
    frames, sounds = read(Recording(file, start, end))
    inside = [f for f in whole if start * SECOND <= f.originating_time < (end or 99) * SECOND]
    assert times(frames) == times(inside)
    for a, b in zip(frames, inside, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    assert sounds[0].originating_time == pytest.approx(start * SECOND, abs=MS)
    assert length(sounds) == pytest.approx(min(end or 99, length(all_sound)) - start, abs=0.05)


def test_a_first_picture_days_before_the_second(tmp_path: Path) -> None:
    recording = Recording(hard_cases.far_first_picture(tmp_path / "a.mkv"))
    frames, _ = read(recording)
    assert times(frames) == [k * 40 * MS for k in range(75)]
    [_, after] = recording.found.segments
    assert (after.reason, after.at) == ("gap", 40 * MS)
    assert "a gap of 259200.00 s was left out" in str(after)
    kept, _ = read(Recording(recording.path, max_gap=1e9))
    assert kept[1].originating_time == 3 * 86_400 * SECOND + 40 * MS


def test_tracks_that_share_no_time_are_refused_with_both_spans(tmp_path: Path) -> None:
    what = {"pictures": every(0.04, 75), "codec": "mpeg4", "sound": (0, 3), "sound_codec": "aac"}
    even = write(tmp_path / "even.mkv", **what)
    file = hard_cases.restamped(even, tmp_path / "a.mkv", lambda _, t: t + 1.7e9)
    recording = Recording(file)
    with pytest.raises(UserError, match=r"video is at \d.\d+ s and audio at 17000000\d\d.*--offset"):
        recording.select(0, 0)
    recording.select(0, round(-1.7e9 * SECOND))
    _, sounds = read(recording)
    assert sounds[0].originating_time == pytest.approx(0, abs=30 * MS)
    assert not recording.found.segments


@pytest.mark.parametrize("start", [0.0, 1.7, 2.96])
def test_an_offset_moves_a_track(tmp_path: Path, start: float) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.04, 75), sound=(0, 3), rate=16_000)
    recording = Recording(file, start)
    recording.select(-20 * MS, 15 * MS)
    frames, sounds = read(recording)
    expected = [k * 40 * MS - 20 * MS for k in range(75)]
    assert times(frames) == [t for t in expected if t >= start * SECOND]
    at, samples = joined(sounds)
    assert at == pytest.approx(max(start, 0.015), abs=1e-4)
    assert at + samples.size / RATE == pytest.approx(3.015, abs=1e-3)


# Times that jitter


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.03])
def test_sound_whose_stamps_jitter_has_no_gap(tmp_path: Path, sigma: float) -> None:
    recording = Recording(hard_cases.jittered(tmp_path / "a.mkv", sigma))
    _, sounds = read(recording)
    assert joined(sounds)[1].size == pytest.approx(12 * RATE, abs=0.1 * RATE)
    assert not recording.found.sound["overlap"]


@pytest.mark.parametrize("at_once", [2, 4, 12])
def test_sound_that_is_stamped_in_bursts_has_no_gap(tmp_path: Path, at_once: int) -> None:
    recording = Recording(hard_cases.bursty(tmp_path / "a.mkv", at_once))
    _, sounds = read(recording)
    heard = joined(sounds)[1].size + recording.found.sound["before_start"]
    assert heard == pytest.approx(12 * RATE, abs=0.1 * RATE)
    assert any("the times of the sound jitter" in note for note in recording.found.notes)


def test_pictures_without_times_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.h264", pictures=every(0.04, 75), codec="libx264")
    frames, _ = read(Recording(file))
    assert times(frames) == [k * 40 * MS for k in range(75)]


@pytest.mark.parametrize("suffix", ["mkv", "flv", "mp4"])
def test_a_length_that_counts_from_zero_or_from_the_start_is_no_damage(tmp_path: Path, suffix: str) -> None:
    what = {"pictures": every(0.04, 75, start=5.0), "codec": "libx264"}
    frames, _ = read(Recording(write(tmp_path / f"a.{suffix}", **what)))
    assert len(frames) == 75


# Damage


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec"),
    [("mp4", "libx264", "aac"), ("mkv", "libx264", "aac"), ("avi", "mpeg4", "libmp3lame")],
)
@pytest.mark.parametrize("kind", ["audio", "video"])
def test_after_a_damaged_packet_it_goes_on(
    tmp_path: Path, suffix: str, codec: str, sound_codec: str, kind: str
) -> None:
    what = {"pictures": every(0.04, 250), "size": (64, 48), "sound": (0, 10)}
    file = write(tmp_path / f"a.{suffix}", codec=codec, sound_codec=sound_codec, **what)
    whole, _ = read(Recording(file))
    at = hard_cases.damaged_packet(file, 100, kind)
    recording = Recording(file)
    frames, sounds = read(recording)
    found = recording.found
    assert len(frames) + found.pictures.total() == 250
    assert times(frames)[-1] == times(whole)[-1]
    heard = length(sounds) + found.sound["damaged"] / RATE
    assert heard == pytest.approx(10, abs=0.1)
    if kind == "audio":
        assert len(frames) == 250
        if found.damage:
            assert found.damage["sound"][0] / SECOND == pytest.approx(at, abs=0.1)
            assert any(note.startswith("damaged: sound at") for note in found.notes)
    else:
        assert length(sounds) == pytest.approx(10, abs=0.1)
        assert len(frames) >= 235


def test_strict_ends_at_the_first_damage(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", sound=(0, 10), sound_codec="aac")
    at = hard_cases.damaged_packet(file, 200)
    with pytest.raises(BrokenRecording) as broken:
        read(Recording(file, strict=True))
    assert broken.value.position == pytest.approx(at, abs=0.1)
    read(Recording(file))


def test_damage_to_the_end_is_a_broken_recording(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.04, 250), codec="libx264", sound=(0, 10))
    for n in range(150, 250):
        hard_cases.damaged_packet(file, n, "video", seed=n)
    with pytest.raises(BrokenRecording):
        read(Recording(file))


def test_two_mp3_files_joined(tmp_path: Path) -> None:
    part = write(tmp_path / "part.mp3", sound=(0, 3), sound_codec="libmp3lame", rate=44_100)
    _, sounds = read(Recording(hard_cases.joined(tmp_path / "a.mp3", [part, part])))
    assert length(sounds) == pytest.approx(6, abs=0.15)


# Tracks


def test_the_track_marked_as_default_is_taken(tmp_path: Path) -> None:
    tracks = [
        Track("audio", 0, "Desktop"), Track("audio", 300, "Mic", default=True),
        Track("video", 50), Track("video", 200, "Face", default=True),
    ]  # fmt: skip
    recording = Recording(multi_track(tmp_path / "a.mkv", tracks))
    frames, sounds = read(recording)
    assert frames[0].image.mean() == pytest.approx(200, abs=3)
    assert np.abs(joined(sounds)[1]).max() > 0.4
    assert str(recording.audio) == "audio 2: pcm_s16le, 16000 Hz, 1 channel (“Mic”, default)"
    assert [track.number for track in recording.tracks] == [1, 2, 1, 2]


def test_without_a_default_the_first_with_samples_is_taken(tmp_path: Path) -> None:
    tracks = [
        Track("audio", 300, "empty", seconds=0),
        Track("audio", 300, "first"),
        Track("audio", 0, "second"),
    ]
    recording = Recording(multi_track(tmp_path / "a.mkv", tracks))
    assert recording.audio is not None
    assert recording.audio.number == 2
    assert "empty" in str(recording.tracks[0])


def test_a_track_is_taken_by_its_number(tmp_path: Path) -> None:
    tracks = [Track("audio", 300, default=True), Track("audio", 0), Track("video", 50), Track("video", 200)]
    file = multi_track(tmp_path / "a.mkv", tracks)
    frames, sounds = read(Recording(file, audio_track=2, video_track=2))
    assert frames[0].image.mean() == pytest.approx(200, abs=3)
    assert not joined(sounds)[1].any()
    with pytest.raises(UserError, match=r"there is no audio track 3; there is audio 1: .*; audio 2: "):
        Recording(file, audio_track=3)
    with pytest.raises(UserError, match="there is no video track 1; there is none"):
        Recording(write(tmp_path / "b.wav", sound=(0, 1)), video_track=1)


# JPEGs


def test_jpegs_with_exif_are_pictures_like_others(tmp_path: Path) -> None:
    plain = hard_cases.jpeg_video(tmp_path / "plain.avi", hard_cases.jpegs())
    frames, _ = read(Recording(hard_cases.exif_avi(tmp_path / "a.avi")))
    for a, b in zip(frames, read(Recording(plain))[0], strict=True):
        np.testing.assert_array_equal(a.image, b.image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_obeyed(tmp_path: Path, orientation: int) -> None:
    [jpeg] = hard_cases.jpegs(1)
    [frame] = read(Recording(hard_cases.jpeg_video(tmp_path / "plain.avi", [jpeg])))[0]
    data = hard_cases.with_exif(jpeg, orientation)
    [turned] = read(Recording(hard_cases.jpeg_video(tmp_path / "a.avi", [data])))[0]
    expected = {  # what EXIF says is at the top and at the left
        1: frame.image, 2: frame.image[:, ::-1], 3: frame.image[::-1, ::-1], 4: frame.image[::-1],
        5: frame.image.transpose(1, 0, 2), 6: np.rot90(frame.image, -1),
        7: np.rot90(frame.image.transpose(1, 0, 2), 2), 8: np.rot90(frame.image),
    }  # fmt: skip
    np.testing.assert_array_equal(turned.image, expected[orientation])


def test_a_jpeg_that_is_cut_off_is_dropped_as_corrupt(tmp_path: Path) -> None:
    recording = Recording(hard_cases.truncated_jpeg_avi(tmp_path / "a.avi"))
    frames, _ = read(recording)
    assert (len(frames), recording.found.pictures) == (17, {"corrupt": 8})


# Trailing


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mp3", "webm"])
@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff" * 5000, b"junk " * 1000])
def test_what_follows_the_last_packet_does_no_harm(tmp_path: Path, suffix: str, tail: bytes) -> None:
    what = {"sound": (0, 3), "sound_codec": "libmp3lame", "rate": 44_100}
    file = write(tmp_path / f"a.{suffix}", **CONTAINERS.get(suffix, what))
    whole = [content(item) for item in Recording(file)]
    file.write_bytes(file.read_bytes() + tail)
    with_tail = [content(item) for item in Recording(file)]
    assert len(with_tail) >= len(whole) - 2


def test_an_empty_last_packet_is_read(tmp_path: Path) -> None:
    even = write(tmp_path / "even.mkv", pictures=every(0.04, 25), sound=(0, 1), rate=16_000)
    file = tmp_path / "a.mkv"
    with av.open(str(even)) as container, av.open(str(file), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.dts is not None:
                index = packet.stream.index
                packet.stream = streams[index]
                written.mux(packet)
        for index, pts in ((0, 1000), (1, 1000)):
            empty = av.Packet(0)
            empty.pts = empty.dts = pts
            empty.stream = streams[index]
            written.mux(empty)
    frames, sounds = read(Recording(file))
    assert len(frames) == 25
    assert length(sounds) == 1.0
    assert all(isinstance(frame, Frame) for frame in frames)


@pytest.mark.parametrize("ppm", [-300, 300])
def test_sound_that_drifts_is_stretched_without_a_gap(tmp_path: Path, ppm: int) -> None:
    """300 s of a sound card whose crystal is off: 90 ms at the end, which was a gap of 20 ms every minute."""
    even = write(tmp_path / "even.mkv", sound=(0, 300), rate=16_000)
    file = hard_cases.restamped(even, tmp_path / "a.mkv", lambda _, t: t * (1 + ppm * 1e-6))
    _, sounds = read(Recording(file))
    start, samples = joined(sounds)
    assert start + samples.size / RATE == pytest.approx(300 * (1 + ppm * 1e-6), abs=0.01)


def test_sound_that_ends_long_before_the_pictures_is_not_held_back(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(1.0, 100), codec="mpeg4", sound=(0, 3), rate=16_000)
    items = list(Recording(file))
    last = max(k for k, item in enumerate(items) if isinstance(item, Sound))
    assert items[last + 1].originating_time < 40 * SECOND
    assert length([item for item in items if isinstance(item, Sound)]) == 3.0


def test_jpegs_without_a_container(tmp_path: Path) -> None:
    file = tmp_path / "a.mjpeg"
    file.write_bytes(b"".join(hard_cases.with_exif(jpeg) for jpeg in hard_cases.jpegs(25)))
    frames, _ = read(Recording(file))
    assert times(frames) == [k * 40 * MS for k in range(25)]
