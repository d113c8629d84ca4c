"""What a real inlet in another process receives. Multicast is kept to the loopback."""

import json
import os
import shutil
import subprocess
import sys
import threading
from xml.etree import ElementTree

import pandas as pd
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.outputs.addresses import destination
from tests.support.lsl_loopback import LOOPBACK

pytestmark = pytest.mark.live

RATE = 25
COMMON = """
import json, sys, time
import pylsl
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs
name, rate = sys.argv[1], int(sys.argv[2])

def estimate(tick, late):
    audio = tick % 3 > 0
    return Estimate(
        tick, round(tick / rate, 6), Engagement(round(tick / 10000, 4), 0.125, 0.25, 0.5),
        {"face": True, "audio": audio}, {"face": 12.5, "audio": 1.5 if audio else None},
        {"face": 3.5, "audio": -2.25 if audio else None},
        Latency(0.1, None, None if late is None else round(late * 1000, 3)),
    )
"""
# As in a live session: estimates are delayed by varying times, which `latency_ms.tick` has.
LIVE = (
    COMMON
    + """
with Outputs([f"lsl:{name}"], live=True, warn=print) as outputs:
    zero = pylsl.local_clock()
    outputs.mark(0.0, "begins")
    print(json.dumps({"zero": zero}), flush=True)
    for tick in range(int(sys.argv[3]) * rate):
        due = zero + tick / rate + (8 + tick * 7 % 30) / 1000
        time.sleep(max(due - pylsl.local_clock(), 0))
        outputs.write(estimate(tick, pylsl.local_clock() - zero - tick / rate), None)
        if tick % rate == rate // 2:
            outputs.mark(round(tick / rate + 0.01, 6), f"mark {tick} Zo\\u00eb \\ud800")
print(json.dumps({"used": outputs.counts[f"lsl:{name}"].used}))
"""
)
REPLAY = (
    COMMON
    + """
with Outputs([f"lsl:{name}"], live=False, warn=print) as outputs:
    before = pylsl.local_clock()
    outputs.write(estimate(0, None), None)
    outputs.write(estimate(1, None), None)
    print(json.dumps({"zero": before}), flush=True)
    sys.stdin.readline()
    for tick in range(2, 1000):
        outputs.write(estimate(tick, None), None)
"""
)
# Receives for some seconds, or until nothing comes for a second; then again, with new inlets.
INLET = """
import json, sys, time
import pylsl
name, times = sys.argv[1], [float(s) for s in sys.argv[2:]]
for seconds in times:
    streams = {s.name(): s for s in pylsl.resolve_bypred(f"starts-with(name,'{name}')", 2, 20)}
    numbers, marks = (pylsl.StreamInlet(streams[n]) for n in (name, f"{name}-marks"))
    received = {"numbers": [], "marks": [], "xml": [i.info(5).as_xml() for i in (numbers, marks)]}
    for inlet in numbers, marks:
        inlet.open_stream(5)
    print("open", flush=True)
    last = time.monotonic()
    while time.monotonic() < last + seconds:
        for inlet, got, wait in (numbers, received["numbers"], 0.01), (marks, received["marks"], 0):
            sample, stamp = inlet.pull_sample(wait)
            if sample is not None:
                got.append([stamp, *sample])
                if seconds == 1.0:
                    last = time.monotonic()
    numbers.close_stream(); marks.close_stream()
    del numbers, marks
    print(json.dumps(received), flush=True)
"""


@pytest.fixture
def python(tmp_path):
    """Starts a Python whose LSL stays on this machine."""
    configuration = tmp_path / "lsl_api.cfg"
    configuration.write_text(LOOPBACK)
    environment = {**os.environ, "LSLAPICFG": str(configuration), "PYTHONUNBUFFERED": "1"}
    begun = []

    def begin(program, *arguments, before=()):
        process = subprocess.Popen(
            [*before, sys.executable, "-c", program, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def name(request):
    return f"test{os.getpid()}-{abs(hash(request.node.name)) % 10**6}"


def line(process):
    """The next line that it prints; JSON is decoded."""
    found = []
    reader = threading.Thread(target=lambda: found.append(process.stdout.readline()))
    reader.start()
    reader.join(30)
    assert found, "nothing was printed"
    assert found[0], f"it ended with {process.wait()}"
    return json.loads(found[0]) if found[0].startswith("{") else found[0].strip()


def labels(xml):
    return [channel.findtext("label") for channel in ElementTree.fromstring(xml).iter("channel")]


def table(received):
    return pd.DataFrame(received["numbers"], columns=["stamp", *labels(received["xml"][0])]).assign(
        tick=lambda row: (row.engagement_mean * 10000).round().astype(int)
    )


@pytest.mark.long
def test_stamps_are_the_ticks_times_also_for_an_inlet_that_comes_again(python, name):
    session = python(LIVE, name, RATE, 7)
    inlet = python(INLET, name, 1.5, 1.0)
    zero = line(session)["zero"]
    assert line(inlet) == "open"
    first = line(inlet)
    assert line(inlet) == "open"
    second = line(inlet)
    assert line(session)["used"] == 7 * RATE + 8

    assert float(ElementTree.fromstring(first["xml"][0]).findtext("nominal_srate")) == RATE
    for received, at_least in (first, 25), (second, 25):
        got = table(received)
        assert len(got) >= at_least
        assert (got.stamp - zero - got.tick / RATE).abs().max() < 0.001
        assert list(got.tick) == list(range(got.tick.iloc[0], got.tick.iloc[-1] + 1))  # none is lost
        assert (got.engagement_std == 0.125).all()
        assert (got.face_age_ms == 12.5).all()
        assert (got.audio_present == (got.tick % 3 > 0)).all()
        assert (got.audio_surprise_nats.isna() == (got.audio_present == 0)).all()
        for stamp, label in received["marks"]:
            tick = int(label.split()[1])
            assert label == f"mark {tick} Zoë ?"
            assert abs(stamp - zero - tick / RATE - 0.01) < 0.001
    assert table(second).tick.iloc[-1] == 7 * RATE - 1  # up to the last one
    assert second["marks"]


@pytest.mark.long
def test_an_inlet_goes_on_with_the_next_session_of_that_name(python, name):
    before, inlet = python(LIVE, name, RATE, 2), python(INLET, name, 8)
    line(before)
    assert line(inlet) == "open"
    line(before)
    after = python(LIVE, name, RATE, 3)
    zero = line(after)["zero"]
    stamps = table(line(inlet)).stamp
    assert (stamps < zero).sum() >= RATE / 2
    assert (stamps > zero).sum() >= RATE


def test_in_a_replay_ticks_have_their_places_however_fast_they_come(python, name):
    session = python(REPLAY, name, RATE)
    inlet = python(INLET, name, 1.0)
    zero = line(session)["zero"]
    assert line(inlet) == "open"
    session.stdin.write("\n")
    session.stdin.flush()
    got = table(line(inlet))
    assert list(got.tick) == list(range(2, 1000))
    late = got.stamp - zero - got.tick / RATE
    assert late.min() >= 0
    assert late.max() < 0.1
    assert late.max() - late.min() < 1e-5


def test_the_description_has_the_channels_and_a_stable_source_id(python, name):
    def described():
        session, inlet = python(LIVE, name, 10, 2), python(INLET, name, 0.1)
        assert line(inlet) == "open"
        descriptions = [ElementTree.fromstring(xml) for xml in line(inlet)["xml"]]
        for process in (session, inlet):
            process.kill()
            process.wait(20)
        return descriptions

    numbers, marks = described()
    assert {tag: numbers.findtext(tag) for tag in ("name", "type", "channel_count", "channel_format")} == {
        "name": name, "type": "Engagement", "channel_count": "17", "channel_format": "float32"
    }  # fmt: skip
    assert float(numbers.findtext("nominal_srate")) == 10
    assert [tuple(c.findtext(x) for x in ("label", "unit", "type")) for c in numbers.iter("channel")] == [
        ("engagement_mean", "0..1", "Mean"),
        ("engagement_std", "0..1", "Std"),
        ("engagement_low", "0..1", "Low"),
        ("engagement_high", "0..1", "High"),
        ("face_present", "0 or 1", "Present"),
        ("face_age_ms", "ms", "Age"),
        ("face_surprise_nats", "nats", "Surprise"),
        ("audio_present", "0 or 1", "Present"),
        ("audio_age_ms", "ms", "Age"),
        ("audio_surprise_nats", "nats", "Surprise"),
        ("faces", "1", "Faces"),
        ("person", "1", "Person"),
        ("face_left", "0..1", "Left"),
        ("face_top", "0..1", "Top"),
        ("face_width", "0..1", "Width"),
        ("face_height", "0..1", "Height"),
        ("face_quality", "0..1", "Quality"),
    ]
    assert (marks.findtext("type"), marks.findtext("channel_format")) == ("Markers", "string")
    assert float(marks.findtext("nominal_srate")) == 0
    for stream in numbers, marks:
        assert stream.findtext("desc/acquisition/manufacturer") == "enrapt"
        assert stream.findtext("desc/synchronization/can_drop_samples") == "true"
    sources = [stream.findtext("source_id") for stream in (numbers, marks)]
    assert len(set(sources)) == 2
    assert all(sources)
    again = described()
    assert [stream.findtext("source_id") for stream in again] == sources
    assert [stream.findtext("uid") for stream in again] != [s.findtext("uid") for s in (numbers, marks)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_nothing_is_opened_without_an_output_and_nothing_sent_unrequested(python, name, tmp_path):
    log = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-e", "trace=%net", "-o", str(log)]
    done = python("import pylsl; pylsl.local_clock()", before=trace)
    assert done.wait(30) == 0
    assert log.read_text() == ""
    session = python(LIVE, name, RATE, 1, before=trace)
    assert session.wait(30) == 0
    calls = [line.split(None, 1)[1] for line in log.read_text().splitlines()]
    assert any(call.startswith("listen(") for call in calls)  # an outlet waits for whom it may concern
    requests = [call for call in calls if call.startswith(("sendto(", "sendmsg(", "connect("))]
    assert [call for call in requests if "AF_INET" in call and "127.0.0.1" not in call] == []


@pytest.mark.parametrize("address", ["lsl://host/name", "lsl:two\nlines", "lsl:\udcff"])
def test_a_wrong_address_is_one_line_with_the_right_form(address):
    with pytest.raises(UserError, match="give lsl: or lsl:NAME") as caught:
        destination(address)
    assert "\n" not in str(caught.value)
