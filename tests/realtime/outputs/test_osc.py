"""What a real OSC server on the loopback receives."""

import datetime
import math
import socket
import threading

import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.run import Run
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.streams import wall_clock
from enrapt.realtime.streams.samples import Observation
from tests.support.devices import microphone

SEEN = Observation(0, 0, {}, {})
ENGAGEMENT = Engagement(0.5, 0.125, 0.375, 0.625)  # a float32 holds these exactly
BOTH = Estimate(
    0,
    0.0,
    ENGAGEMENT,
    {"face": True, "audio": True},
    {"face": 12.5, "audio": 0.0},
    {"face": 1.5, "audio": -2.0},
    faces=2,
    person=1,
    box=(0.25, 0.125, 0.5, 0.5),
    face_quality=0.75,
)
NO_AUDIO = Estimate(
    1,
    0.04,
    ENGAGEMENT,
    {"face": True, "audio": False},
    {"face": 12.5, "audio": None},
    {"face": 1.5, "audio": None},
)


class Server:
    """Keeps what it receives."""

    def __init__(self, port: int = 0) -> None:
        self.got = []
        self._changed = threading.Condition()
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._take)
        self._server = BlockingOSCUDPServer(("127.0.0.1", port), dispatcher)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def _take(self, path, *arguments):
        with self._changed:
            self.got.append((path, *arguments))
            self._changed.notify_all()

    def until(self, n: int):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= n, 5)
        return self.got

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize("live", [True, False])
def test_a_message_of_floats_a_tick_and_one_of_each_mark(live):
    with Server() as server:
        address = f"osc://127.0.0.1:{server.port}/room/1"
        with Outputs([address], live=live, warn=pytest.fail) as outputs:
            outputs.write(BOTH, SEEN)
            outputs.mark(0.5, "smiles\0 at \ud800Zoë")
            outputs.write(NO_AUDIO, SEEN)
        first, both, mark, second, no_audio = server.until(5)
    assert first == ("/room/1/time", 0.0, "")  # nobody knows
    assert second[:2] == ("/room/1/time", pytest.approx(0.04, abs=1e-7))
    assert both[:11] == ("/room/1", 0.5, 0.125, 0.375, 0.625, 1.0, 12.5, 1.5, 1.0, 0.0, -2.0)
    assert both[11:] == (2.0, 1.0, 0.25, 0.125, 0.5, 0.5, 0.75)
    assert all(type(x) is float for x in both[1:])
    assert mark == ("/room/1/mark", 0.5, "smiles at ?Zoë")
    assert no_audio[:9] == (*both[:8], 0.0)
    assert all(math.isnan(x) for x in no_audio[9:])
    assert len(no_audio) == len(both)
    assert outputs.counts[address].used == 3  # a tick counts once


@pytest.mark.parametrize("live", [True, False])
def test_the_wall_clock_goes_before_each_estimate(live):
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    began = datetime.datetime(2026, 3, 1, 23, 59, 59, 980_000, zone)
    with (
        Server() as server,
        Outputs([f"osc://127.0.0.1:{server.port}/x"], live=live, warn=pytest.fail) as out,
    ):
        for estimate in (BOTH, NO_AUDIO):
            out.write(estimate.stamped(wall_clock.at(began, estimate.t), ()), SEEN)
        got = server.until(4)
    assert [message[0] for message in got] == ["/x/time", "/x", "/x/time", "/x"]
    assert got[0][1:] == (0.0, "2026-03-01T23:59:59.980+05:30")
    assert got[2][2] == "2026-03-02T00:00:00.020+05:30"
    assert datetime.datetime.fromisoformat(got[2][2]) - began == datetime.timedelta(seconds=0.04)


def test_a_live_run_sends_the_wall_clock_of_its_ticks(tiny_bundle):
    now = datetime.datetime.now(datetime.UTC)
    with Server() as server:
        with Run(LiveSource([microphone()]), tiny_bundle, to=[f"osc://127.0.0.1:{server.port}/x"]) as run:
            for estimate in run:
                if estimate.tick == 5:
                    break
        got = server.until(12)
    times = [message[1:] for message in got if message[0] == "/x/time"]
    assert len(times) == 6
    for t, text in times:
        when = datetime.datetime.fromisoformat(text)
        assert abs(when - now) < datetime.timedelta(minutes=1)
        began = datetime.datetime.fromisoformat(run.summary()["started"])
        assert abs((when - began).total_seconds() - t) < 0.0011


def test_without_a_receiver_messages_are_lost_and_one_may_start_later():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with Outputs([f"osc://127.0.0.1:{port}/x"], live=False, warn=pytest.fail) as outputs:
        for _ in range(20):
            outputs.write(BOTH, SEEN)
        with Server(port) as server:
            while not server.got:
                outputs.write(BOTH, SEEN)
        assert server.got[0][0] in ("/x", "/x/time")


def test_a_host_without_an_address_is_reported_and_tried_again(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # without a query to a name server
    lines = []
    with Outputs(["osc://nobody.invalid:9000/x"], live=True, warn=lines.append) as outputs:
        outputs.write(BOTH, SEEN)
    assert lines == ["osc://nobody.invalid:9000/x: [Errno -2] Name or service not known; trying again"]
    assert outputs.counts["osc://nobody.invalid:9000/x"].dropped["unreachable"] == 1


@pytest.mark.parametrize(
    "address",
    [
        "osc:",
        "osc:9000",
        "osc://host/x",
        "osc://host:9000",
        "osc://host:9000/",
        "osc://:9000/x",
        "osc://host:port/x",
        "osc://host:99999/x",
        "osc://host:0/x",
        "osc://host:9000/x*",
        "osc://host:9000/a b",
        "osc://host:9000/Zoë",
        "osc://host:9000/x?qos=1",
        "osc://host:9000/x#y",
        "osc://[::1:9000/x",
        f"osc://{'a' * 64}:9000/x",
        "osc://anna:secret@host:9000/x",
    ],
)
def test_a_wrong_address_is_one_line_with_the_right_form(address):
    with pytest.raises(UserError, match=r"give osc://HOST:PORT/PATH, such as") as caught:
        destination(address)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6():
    try:
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with receiver:
        receiver.settimeout(5)
        address = f"osc://[::1]:{receiver.getsockname()[1]}/x"
        with Outputs([address], live=False, warn=pytest.fail) as outputs:
            outputs.write(BOTH, SEEN)
        assert receiver.recv(1000).startswith(b"/x/time\0,fs\0")
        assert receiver.recv(1000).startswith(b"/x\0\0,ffffffffff")
