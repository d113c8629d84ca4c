"""The protocol of the camera's process, from both sides."""

import io
import json
import os
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.schemas import FACE
from enrapt.realtime.sources.camera import Camera, Received
from enrapt.realtime.sources.camera_face import CameraFace
from enrapt.realtime.sources.camera_process import (
    HEADER,
    Captured,
    capture,
    mailbox,
    originating,
    send_pictures,
)
from enrapt.realtime.streams.samples import SECOND, View
from tests.support.camera import NO_MODEL, StandIn
from tests.support.inlet import FakeInlet


def message(moment: int, stamp: int, gray: int, superseded: int = 0, waiting: int = 0) -> bytes:
    """A picture of one gray; −1 is a broken one."""
    size = (0, 0) if gray < 0 else (4, 2)
    pixels = bytes([max(gray, 0)]) * (3 * size[0] * size[1])
    return HEADER.pack(moment, stamp, *size, len(pixels), superseded, waiting) + pixels


def read(camera: Camera, data: bytes) -> list[Received]:
    """All that one process sends, on the pipe of which is `data`."""
    pipe = io.BytesIO(data)
    camera.restart({"codec": "MJPG", "rate": 30.0})
    received = []
    while (one := camera.read(pipe)) is not None:
        received.append(one)
    return received


def problems(*processes: list[tuple[int, int, int]]) -> list[str | None]:
    camera = Camera()
    data = [b"".join(message(*picture) for picture in pictures) for pictures in processes]
    return [received.problem for each in data for received in read(camera, each)]


def test_stale_buffer_and_closed_shutter_differ_by_the_stamp():
    assert problems([(1, 10, 0), (2, 20, 0), (3, 30, 0)]) == [None] * 3  # black, and the stamp advances
    assert problems([(1, 10, 0), (2, 10, 0), (3, 10, 0)]) == [None, "repeated", "repeated"]
    assert problems([(1, -1, 7), (2, -1, 7), (3, -1, 8)]) == [None, "repeated", None]


def test_the_same_picture_after_a_restart_is_still_the_same_without_a_stamp():
    assert problems([(1, -1, 7)], [(2, -1, 7)]) == [None, "repeated"]
    assert problems([(1, 900, 7)], [(2, 5, 7)]) == [None, None]


def test_a_picture_cut_by_the_end_of_the_process_was_never_captured():
    whole = message(1, -1, 7) + message(2, -1, 8)
    for cut in range(1, len(message(2, -1, 8)) + 1):
        assert len(read(Camera(), whole[:-cut])) == 1


def test_format_by_the_driver_before_there_is_anything_to_measure():
    camera = Camera()
    read(camera, message(1, 10, 0))
    assert camera.format == "4×2 at 30 frames/s, MJPG"
    every_third = [message(k * SECOND // 10, k, 0, superseded=2) for k in range(60)]
    read(camera, b"".join(every_third))
    assert camera.format == "4×2 at 30 frames/s, MJPG"
    read(camera, b"".join(message(k * SECOND // 12, k, 0) for k in range(60)))
    assert camera.format == "4×2 at 12 frames/s, MJPG"


PICTURES = st.tuples(
    st.integers(0, 50),
    st.sampled_from([-1, 1, 2, 3]),
    st.integers(-1, 2),
    st.integers(0, 3),
    st.integers(0, 1),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(PICTURES, st.sampled_from([None, "paused"])), max_size=30))
def test_conservation(pictures):
    camera, inlet = CameraFace(0, faces=NO_MODEL), FakeInlet(FACE.dim)
    camera._inlet, camera._face = inlet, StandIn()
    camera._face.extract = lambda picture, at: (None, View(0))
    for picture, inlet.unwanted in pictures:
        camera._read({"codec": "MJPG", "rate": 30.0}, io.BytesIO(message(*picture)))
    assert inlet.captured == sum(1 + superseded for (_, _, _, superseded, _), _ in pictures)
    assert inlet.dropped["broken"] == sum(gray < 0 for (_, _, gray, _, _), _ in pictures)
    times = [sample.time for sample in inlet.samples]
    assert times == sorted(set(times))


# The process itself


def captured(gray: int) -> Captured:
    return Captured(gray, -1, (4, 2), bytes([gray]) * 24)


def received_from(pipe: int, camera: Camera) -> Received:
    with os.fdopen(os.dup(pipe), "rb", buffering=0) as file:
        received = camera.read(file)
    assert received is not None
    return received


@pytest.mark.parametrize("keep_all", [False, True])
def test_one_picture_for_each_credit(keep_all):
    pictures, credit, camera = mailbox(keep_all), threading.Semaphore(0), Camera()
    pipe, out = os.pipe()
    sender = threading.Thread(target=send_pictures, args=(pictures, credit, out))
    sender.start()
    for gray in range(3):
        pictures.put(captured(gray))
    credit.release()
    first = received_from(pipe, camera)
    assert (first.superseded, first.waiting) == ((0, 2) if keep_all else (2, 0))
    assert first.picture is not None
    assert first.picture.originating_time == (0 if keep_all else 2)
    os.set_blocking(pipe, False)
    time.sleep(0.05)
    with pytest.raises(BlockingIOError):
        os.read(pipe, 1)  # nothing without credit
    os.set_blocking(pipe, True)
    pictures.close()
    for waiting in (1, 0) if keep_all else ():
        credit.release()
        assert received_from(pipe, camera).waiting == waiting
    credit.release()
    sender.join(1)
    assert not sender.is_alive()
    os.close(out)
    os.close(pipe)


def test_pictures_beyond_the_room_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.camera_process.ROOM", 5 * 24)
    pictures, camera = mailbox(keep_all=True), Camera()
    for gray in range(12):
        pictures.put(captured(gray))
    pictures.close()
    credit = threading.Semaphore(100)
    pipe, out = os.pipe()
    send_pictures(pictures, credit, out)
    os.close(out)
    with os.fdopen(pipe, "rb") as file:
        received = read(camera, file.read())
    assert [one.picture.originating_time for one in received if one.picture] == [7, 8, 9, 10, 11]
    assert [one.superseded for one in received] == [7, 0, 0, 0, 0]


def test_a_device_that_is_a_file(tmp_path, monkeypatch):
    """A recording has stamps, a codec and a rate, as V4L2 has; only its size cannot be asked for."""
    black = tmp_path / "black.avi"
    writer = cv2.VideoWriter(str(black), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    monkeypatch.setattr(sys, "platform", "any")  # where OpenCV chooses who reads
    output = tmp_path / "output"
    pictures = mailbox(keep_all=True)
    with output.open("wb") as out:
        capture(str(black), (640, 480), 30, pictures, out.fileno())
        pictures.close()
        send_pictures(pictures, threading.Semaphore(100), out.fileno())
    began = time.monotonic_ns()
    camera = Camera()
    with output.open("rb") as pipe:
        camera.restart(json.loads(pipe.readline()))
        received = [camera.read(pipe) for _ in range(10)]
        assert camera.read(pipe) is None
    assert camera.format == "64×48 at 25 frames/s, MJPG"
    assert [one.problem for one in received if one] == [None] * 10
    assert received[-1] is not None
    assert received[-1].picture is not None
    moment = received[-1].picture.originating_time
    assert began - SECOND < moment < began  # 0.4 s, its stamp, is of no clock


def test_drivers_stamp_where_it_is_of_the_monotonic_clock():
    assert originating(95 * SECOND, 95 * SECOND + 33_000_000) == 95 * SECOND
    assert originating(0, 95 * SECOND) == 95 * SECOND  # none
    assert originating(1_700_000_000 * SECOND, 95 * SECOND) == 95 * SECOND  # the wall clock
    assert originating(90 * SECOND, 95 * SECOND) == 95 * SECOND


@pytest.mark.parametrize(
    "stamp",
    [
        lambda at: 100 * SECOND,
        lambda at: at - 30_000_000 - (at > 101 * SECOND) * SECOND // 2,
        lambda at: at - 30_000_000 + (at > 101 * SECOND) * 3600 * SECOND,
        lambda at: at - (at // 7) % 900_000_000,
        lambda at: at % SECOND,
        lambda at: -1,
    ],
    ids=["constant", "back", "ahead", "any order", "wraps around", "none"],
)
def test_wrong_stamps_of_a_driver_stop_no_picture(stamp):
    grabbed = [100 * SECOND + k * SECOND // 30 for k in range(90)]
    moment, sent = -1, []
    for at in grabbed:
        moment = originating(stamp(at), at, moment)
        sent.append((moment, stamp(at)))
    camera, pictures = Camera(), []
    messages = b"".join(message(*one, k % 200) for k, one in enumerate(sent))
    for received in read(camera, messages):
        assert received.picture is not None
        pictures.append(received.picture)
    times = np.array([picture.originating_time for picture in pictures])
    assert (np.diff(times) > 0).all()
    late = np.array(grabbed) - times
    assert late.min() >= -len(times)
    assert late.max() < SECOND


def test_a_stamp_that_steps_back_stops_no_equal_pictures():
    assert problems([(1, 50, 0), (2, 60, 0), (3, 5, 0), (4, 15, 0)]) == [None, None, "repeated", None]
