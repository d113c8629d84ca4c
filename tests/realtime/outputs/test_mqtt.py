"""A real broker: stopped and started, with passwords and with TLS."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs, delivery, mqtt
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.outputs.delivery import Delivery
from enrapt.realtime.streams.samples import Observation

pytestmark = pytest.mark.live

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here")
SEEN = Observation(0, 0, {}, {})


def estimate(tick: int) -> Estimate:
    return Estimate(
        tick,
        tick / 25,
        Engagement(0.5, 0.1, 0.4, 0.6),
        {"face": True, "audio": False},
        {"face": 12.5, "audio": None},
        {"face": 1.5, "audio": None},
        Latency(0.1, None, 20.5, {"face": 5.0}, {"face": 3.25}),
    )


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Broker:
    """A mosquitto on the loopback."""

    def __init__(self, folder: Path, *settings: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root", *(settings or ["allow_anonymous true"])]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._configuration], stdout=log, stderr=log)

        def listens() -> bool:
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", self.port)) == 0

        until(listens)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()


class Listener:
    """Subscribes to everything under a topic; finds the broker again."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        self.got: list[tuple[str, bytes, int, bool]] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(0.05, 0.1)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("room/#", 2)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda client, given, m: self.got.append(
            (m.topic, m.payload, m.qos, m.retain)
        )
        self._client.connect("127.0.0.1", port)

    def ready(self) -> None:
        assert self._ready.wait(10)

    def again(self) -> None:
        self._ready.clear()

    def ticks(self) -> list[int]:
        return [json.loads(payload)["tick"] for topic, payload, *_ in self.got if topic == "room/1"]

    def status(self) -> list[str]:
        return [payload.decode() for topic, payload, *_ in self.got if topic == "room/1/status"]

    def __enter__(self) -> "Listener":
        self._client.loop_start()
        self.ready()
        return self

    def __exit__(self, *_) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery, "BACK_OFF", (0.1, 0.2))


@needs_broker
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("live", [True, False])
def test_a_message_per_tick_marks_and_a_retained_status(tmp_path, qos, live):
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        address = f"mqtt://127.0.0.1:{broker.port}/room/1?qos={qos}"
        with Outputs([address], live=live, warn=pytest.fail) as outputs:
            for tick in range(200):
                outputs.write(estimate(tick), SEEN)
            outputs.mark(8.04, "smiles at \ud800Zoë")
            until(lambda: len(listener.got) == 202)
            with Listener(broker.port) as late:
                until(lambda: late.got)
                assert late.got[0] == ("room/1/status", b"online", 1, True)
        until(lambda: len(listener.got) == 203)
    assert listener.got[0] == ("room/1/status", b"online", 1, False)
    assert [msgspec.json.decode(m[1], type=Estimate) for m in listener.got[1:201]] == [
        estimate(tick) for tick in range(200)
    ]
    assert {(topic, got_by, kept) for topic, _, got_by, kept in listener.got[1:201]} == {
        ("room/1", qos, False)
    }
    assert listener.got[201][0] == "room/1/marks"
    assert json.loads(listener.got[201][1]) == {"t": 8.04, "label": "smiles at ?Zoë"}
    assert listener.got[202][:2] == ("room/1/status", b"offline")
    assert outputs.counts[address].used == 201


@needs_broker
def test_a_lost_broker_is_reported_counted_and_reconnected(tmp_path):
    lines = []
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        address = f"mqtt://127.0.0.1:{broker.port}/room/1?qos=1"
        d = Delivery(destination(address), lines.append)
        for tick in range(10):
            d.write(estimate(tick), SEEN)
        until(lambda: listener.ticks() == list(range(10)))
        listener.again()
        broker.stop()
        for tick in range(10, 20):
            d.write(estimate(tick), SEEN)
            time.sleep(0.02)
        until(lambda: d.state == "lost")
        broker.start()
        listener.ready()
        tick = 20
        while d.state == "lost":
            d.write(estimate(tick), SEEN)
            tick += 1
            time.sleep(0.02)
        d.write(estimate(1000), SEEN)
        until(lambda: 1000 in listener.ticks())
        d.close(True)
        until(lambda: listener.status()[-1] == "offline")
    assert lines[0].endswith("; trying again")
    assert lines[1:] == [f"{address}: is back"]
    assert d.counts.waiting == 0
    dropped = d.counts.dropped["failed"] + d.counts.dropped["unreachable"]
    assert dropped >= 9
    assert d.counts.captured == tick + 1 == d.counts.used + dropped
    assert len(set(listener.ticks())) == d.counts.used  # with qos 1, what was taken over did arrive
    assert listener.status().count("online") == 2


@needs_broker
def test_a_broker_may_start_later(tmp_path):
    broker, lines = Broker(tmp_path), []
    with Outputs([f"mqtt://127.0.0.1:{broker.port}/room/1"], live=True, warn=lines.append) as outputs:
        outputs.write(estimate(0), SEEN)
        until(lambda: lines)
        assert lines[0].endswith("Connection refused; trying again")
        with broker, Listener(broker.port) as listener:
            until(lambda: outputs.write(estimate(1), SEEN) or listener.ticks())


@needs_broker
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_broker_publishes_offline_after_a_killed_run(tmp_path):
    program = (
        "import time\n"
        "from enrapt.realtime.outputs import Outputs\n"
        "from enrapt.realtime.engine.estimate import Engagement, Estimate\n"
        "with Outputs(['mqtt://127.0.0.1:%d/room/1'], live=True, warn=print) as output:\n"
        "    output.write(Estimate(0, 0.0, Engagement(0.5, 0.1, 0.4, 0.6), {}, {}, {}), None)\n"
        "    time.sleep(60)\n"
    )
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        process = subprocess.Popen([sys.executable, "-c", program % broker.port])
        try:
            until(lambda: listener.ticks() == [0])
        finally:
            process.kill()
            process.wait()
        until(lambda: listener.status() == ["online", "offline"])
        with Listener(broker.port) as late:
            until(lambda: late.got)
            assert late.got == [("room/1/status", b"offline", 1, True)]


@needs_broker
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd here")
def test_user_and_password(tmp_path, monkeypatch):
    subprocess.run(["mosquitto_passwd", "-c", "-b", tmp_path / "users", "anna", "p@ss/word"], check=True)
    with (
        Broker(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'users'}") as broker,
        Listener(broker.port, "anna", "p@ss/word") as listener,
    ):
        place = f"127.0.0.1:{broker.port}/room/1"

        def attempt(address):
            lines = []
            with Outputs([address], live=True, warn=lines.append) as outputs:
                outputs.write(estimate(0), SEEN)
            return lines, next(iter(outputs.counts))

        assert attempt(f"mqtt://anna:p%40ss%2Fword@{place}") == ([], f"mqtt://{place}")
        until(lambda: listener.ticks() == [0])
        for address, shown in (
            (f"mqtt://anna:wrong@{place}", f"mqtt://{place}"),
            (f"mqtt://anna@{place}", f"mqtt://{place}"),
            (f"mqtt://{place}", f"mqtt://{place}"),
        ):
            lines, shown_address = attempt(address)
            assert shown_address == shown
            assert len(lines) == 1
            assert lines[0].startswith(f"{shown}: the broker refuses user or password (")
        monkeypatch.setenv("ENRAPT_MQTT_PASSWORD", "p@ss/word")
        assert attempt(f"mqtt://anna@{place}") == ([], f"mqtt://{place}")
        until(lambda: listener.ticks() == [0, 0])


@pytest.fixture
def certificate(tmp_path):
    """One for 127.0.0.1, signed by itself; its file and its key's."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=enrapt test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-out", files[0], "-keyout", files[1]],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return files


@needs_broker
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho leaves it to Python
def test_tls_with_a_certificate_that_is_trusted_and_one_that_is_not(tmp_path, monkeypatch, certificate):
    file, key = certificate
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(mqtt, "_CONNECTING", 1.0)
    settings = "allow_anonymous true", f"certfile {file}", f"keyfile {key}"
    with Broker(tmp_path, *settings) as broker:
        address = f"mqtts://127.0.0.1:{broker.port}/room/1?qos=1"
        lines = []
        with Outputs([address], live=True, warn=lines.append) as outputs:
            outputs.write(estimate(0), SEEN)
        assert len(lines) == 1
        assert "certificate is not trusted (" in lines[0]
        assert outputs.counts[address].used == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with Outputs([address], live=True, warn=pytest.fail) as outputs:
            outputs.write(estimate(0), SEEN)
        assert outputs.counts[address].used == 1
        with Outputs([address.replace("mqtts", "mqtt")], live=True, warn=lines.append) as outputs:
            outputs.write(estimate(0), SEEN)
        assert outputs.counts.popitem()[1].used == 0  # nothing is sent in clear text to a TLS port


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(mqtt, "_CONNECTING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = destination(f"mqtt://127.0.0.1:{silent.getsockname()[1]}/room/1")
        for _ in range(2):
            with pytest.raises(TimeoutError, match="does not answer"):
                output.open()
    assert not [thread for thread in threading.enumerate() if "paho" in thread.name]


@needs_broker
def test_a_broker_that_hangs_delays_the_end_only_briefly(tmp_path, monkeypatch):
    monkeypatch.setattr(mqtt, "_ANSWERING", 0.5)
    monkeypatch.setattr(mqtt, "_LEAVING", 0.2)
    lines = []
    with Broker(tmp_path) as broker:
        d = Delivery(destination(f"mqtt://127.0.0.1:{broker.port}/room/1?qos=1"), lines.append)
        d.write(estimate(0), SEEN)
        until(lambda: d.state == "open")
        os.kill(broker._process.pid, 19)  # SIGSTOP
        try:
            for tick in range(1, mqtt._WINDOW + 10):
                d.write(estimate(tick), SEEN)
            until(lambda: d.state == "lost")
            began = time.monotonic()
            d.close(True)
            assert time.monotonic() - began < delivery.LEAVING + 1
        finally:
            os.kill(broker._process.pid, 18)  # SIGCONT
    assert "does not answer" in lines[0]
    assert mqtt._WINDOW <= d.counts.used <= mqtt._WINDOW + 1  # the first may have been answered
    assert d.counts.waiting == 0


@pytest.mark.parametrize(
    "address",
    [
        "mqtt:",
        "mqtt://",
        "mqtt://host",
        "mqtt://host/",
        "mqtt://host/room/#",
        "mqtt://host/room/\udcff",
        "mqtt://\udcff:x@host/room",
        "mqtt://host/room/%23",
        "mqtt://host/room/+/x",
        "mqtt://host:port/room",
        "mqtt://host/room?qos=3",
        "mqtt://host/room?qos",
        "mqtt://host/room?quality=1",
        "mqtt://anna:secret@host",
        "mqtt://anna:se@c/ret@host:1883",
        "mqtts://anna:secret@host:99999/room",
        "mqqt://anna:secret@host/room",
        "mqqt://anna:se@c/ret@host/room",
    ],
)
def test_a_wrong_address_is_one_line_with_the_right_form(address):
    with pytest.raises(UserError, match=r"mqtt://HOST/TOPIC") as caught:
        destination(address)
    assert "\n" not in str(caught.value)
    assert "ret" not in str(caught.value)


def test_the_password_is_not_shown():
    assert destination("mqtt://anna:secret@host/room").address == "mqtt://host/room"
    with contextlib.suppress(OSError):
        assert "secret" not in repr(destination("mqtts://anna:secret@host/room"))
