"""Recordings that would take much memory, or name other files."""

import contextlib
import os
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.sources.container import open_container
from enrapt.realtime.sources.files import open_source
from enrapt.realtime.sources.limits import Limits
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.ahead import DEPTH, ahead
from enrapt.realtime.streams.samples import SECOND
from tests.support import hard_cases
from tests.support.hard_cases import joined as byte_by_byte
from tests.support.recordings import create, every, joined, read, times, write


def test_pictures_that_are_too_large_are_refused_by_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.04, 5), size=(320, 240))
    with pytest.raises(UserError, match=r"pictures of 320×240 pixels .* --max-pixels 76800 allows them"):
        Recording(file, limits=Limits(max_pixels=76_799))
    assert len(read(Recording(file, limits=Limits(max_pixels=76_800)))[0]) == 5


def test_pictures_of_many_bits_count_as_more_where_a_decoder_keeps_several(tmp_path: Path) -> None:
    limits = Limits(max_pixels=64 * 48)
    for name, codec, layout, refused in (
        ("a.mkv", "libx264", "yuv420p", None),
        ("b.mkv", "libx264", "yuv444p10le", r"64×48 pixels of 48 bits .* --max-pixels 9216 allows them"),
        ("c.mkv", "prores_ks", "yuva444p10le", None),  # of which each picture stands for itself
    ):
        file = write(tmp_path / name, pictures=every(0.04, 5), codec=codec, size=(64, 48), pixels=layout)
        if refused is None:
            assert len(read(Recording(file, limits=limits))[0]) == 5
            continue
        with pytest.raises(UserError, match=refused):
            Recording(file, limits=limits)
        assert len(read(Recording(file, limits=Limits(max_pixels=9216)))[0]) == 5


def test_a_decoder_keeps_no_pictures_that_turn_out_too_large(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"{k}.h264", pictures=every(0.04, 20), codec="libx264", size=(64, 48), pixels=layout)
        for k, layout in enumerate(("yuv420p", "yuv444p10le", "yuv420p"))
    ]
    recording = Recording(byte_by_byte(tmp_path / "a.h264", parts), limits=Limits(max_pixels=64 * 48))
    assert len(read(recording)[0]) == 40
    assert recording.found.pictures["corrupt"]
    assert [note for note in recording.found.notes if "of 48 bits" in note and "--max-pixels 9216" in note]


def test_a_size_that_a_decoder_refuses_is_named(tmp_path: Path) -> None:
    sizes = ((64, 48), (1600, 1600))
    parts = [
        write(tmp_path / f"{w}.h264", pictures=every(0.04, 20), codec="libx264", size=(w, h))
        for w, h in sizes
    ]
    recording = Recording(byte_by_byte(tmp_path / "a.h264", parts), limits=Limits(max_pixels=64 * 48))
    assert len(read(recording)[0]) == 20
    assert any("1600×1600" in note and "--max-pixels 2560000" in note for note in recording.found.notes)


def test_pictures_that_are_too_large_are_not_decoded_to_look_at_them(tmp_path: Path) -> None:
    file = write(tmp_path / "a.avi", pictures=every(0.04, 2), codec="zmbv", size=(64, 48), pixels="bgr0")
    data = file.read_bytes()
    size = struct.pack("<II", 64, 48)
    assert data.count(size) == 2  # of the file, of its track
    file.write_bytes(data.replace(size, struct.pack("<II", 16_000, 16_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"more than 16777216 pixels, which --max-pixels allows"):
        Recording(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # of 4,000,000 kB


def test_sound_beyond_a_limit_is_refused_by_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sound=(0, 0.5), rate=44_100, layout="stereo")
    for refused, option in (
        (Limits(max_channels=1), "sound of 2 channels .* --max-channels 2 allows it"),
        (Limits(max_sample_rate=44_099), "sound at 44100 Hz .* --max-sample-rate 44100 allows it"),
    ):
        with pytest.raises(UserError, match=option):
            Recording(file, limits=refused)
    allowed = Recording(file, limits=Limits(max_channels=2, max_sample_rate=44_100))
    assert joined(read(allowed)[1])[1].size == 8_000


def test_a_codec_that_nobody_knows_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sound=(0, 0.5))
    data = bytearray(file.read_bytes())
    at = data.index(b"fmt ") + 8
    data[at : at + 2] = struct.pack("<H", 32_767)  # of its registered formats none
    file.write_bytes(data)
    with pytest.raises(UserError, match="its audio could not be recognised"):
        Recording(file)


def test_sound_that_turns_out_beyond_a_limit_is_dropped_and_named(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / f"{rate}.mp3", sound=(0, 1), sound_codec="libmp3lame", rate=rate)
        for rate in (16_000, 48_000)
    ]
    recording = Recording(
        byte_by_byte(tmp_path / "a.mp3", parts), limits=Limits(max_sample_rate=16_000, max_probe=2000)
    )
    _, sounds = read(recording)
    assert 0.9 < sum(sound.samples.size for sound in sounds) / 16_000 < 1.3
    assert recording.found.sound["damaged"] > 10_000
    assert "sound at 48000 Hz needs much memory; --max-sample-rate 48000 allows it" in recording.found.notes


def test_a_track_beyond_what_is_looked_at_is_named(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.ts", pictures=every(0.04, 50), codec="mpeg2video", sound=(0, 2), sound_codec="mp2"
    )
    for recording, described in (
        (Recording(file, limits=Limits(max_probe=2000)), "recognised up to byte 2000; a larger --max-probe"),
        (Recording(hard_cases.late_sound(tmp_path / "a.flv"), limits=Limits(max_probe=2000)), "2000 bytes"),
    ):
        read(recording)
        assert len(recording.tracks) == 1
        assert any(described in note for note in recording.found.notes)
    assert len(Recording(file).tracks) == 2
    nothing = tmp_path / "a.mpg"
    nothing.write_bytes(b"\0\0\1\xba" + bytes(5000))
    with pytest.raises(UserError, match=r"--max-probe looks further|not a recording"):
        Recording(nothing, limits=Limits(max_probe=2000))


def test_a_picture_that_turns_out_too_large_is_dropped_and_counted(tmp_path: Path) -> None:
    pictures = hard_cases.jpegs(6)
    pictures[3] = hard_cases.jpegs(1, (640, 480))[0]
    recording = Recording(
        hard_cases.jpeg_video(tmp_path / "a.avi", pictures), limits=Limits(max_pixels=160 * 120)
    )
    assert len(read(recording)[0]) == 5
    assert recording.found.pictures == {"corrupt": 1}
    assert any("--max-pixels 307200" in note for note in recording.found.notes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nother.ts\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile other.ts\n"),
        ("a.mp4", "ffconcat version 1.0\nfile other.ts\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
        ("a.mpd", '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n'),
    ],
)
def test_files_that_name_others_are_refused(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / "other.ts", pictures=every(0.04, 25), codec="mpeg2video")
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UserError, match=name):
        open_container(file)


@pytest.mark.parametrize("at", range(20, 40, 3))
def test_a_jump_between_decoding_and_presentation_is_a_gap(tmp_path: Path, at: int) -> None:
    """Pictures that are decoded in another order than shown, of which some are on both sides of a gap."""
    even = write(tmp_path / "even.mkv", pictures=every(0.04, 75), codec="libx264", sound=(0, 3))
    file = tmp_path / "a.mkv"
    day = 86_400_000  # ms
    with av.open(str(even)) as container, create(file) as written:
        streams = {s.index: written.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.size:
                assert packet.pts is not None
                packet.pts += day if packet.pts >= 40 * at else 0
                if packet.dts is not None:
                    packet.dts += day if packet.dts >= 40 * at else 0
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    recording = Recording(file)
    frames, _ = read(recording)
    assert max(times(frames)) < 10 * SECOND
    assert len(frames) > 65
    assert [segment.reason for segment in recording.found.segments] == ["", "gap"]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
@pytest.mark.parametrize("name", ["media.mkv", "a.xdf", "a"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "loop", "folder of it"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, name: str, kind: str) -> None:
    file = tmp_path / name
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "loop":
        file.symlink_to(file)
    elif kind == "folder of it":
        file.mkdir()
        os.mkfifo(file / "session.json")
    else:
        with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as listening:
            listening.bind(name)
    with pytest.raises(UserError, match=name):
        open_source(file)


@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, np.nan, 1e6])
def test_features_are_finite_however_loud_the_sound(tmp_path: Path, value: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype("<f4")
    noise[8_000:8_100:2] = value
    header = b"RIFF\0\0\0\0WAVEfmt " + np.array([16], "<u4").tobytes()
    header += np.array([3, 1], "<u2").tobytes() + np.array([16_000, 64_000], "<u4").tobytes()
    header += np.array([4, 32], "<u2").tobytes() + b"data" + np.array([4 * noise.size], "<u4").tobytes()
    file = tmp_path / "a.wav"
    file.write_bytes(header + noise.tobytes())
    recording = Recording(file)
    _, sounds = read(recording)
    assert np.abs(joined(sounds)[1]).max() <= 10
    assert any(note.startswith("50 samples of the sound") for note in recording.found.notes)
    features = AudioFeatures("audio")
    samples = [sample for sound in sounds for sample in features.push(sound)]
    assert all(sample.values is not None and np.isfinite(sample.values).all() for sample in samples)


def test_few_large_items_wait() -> None:
    taken = []

    def items() -> Iterator[int]:
        for k in range(20):
            taken.append(k)
            yield k

    with ahead(items(), lambda item: DEPTH) as there:
        assert next(there) == 0
        assert len(taken) <= 4
        assert list(there) == list(range(1, 20))
