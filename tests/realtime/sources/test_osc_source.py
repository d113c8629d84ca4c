"""Numbers sent by Open Sound Control, as a robot does that speaks."""

import random
import socket
from collections.abc import Iterator

import numpy as np
import pytest

osc = pytest.importorskip("pythonosc")

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder  # noqa: E402
from pythonosc.osc_message_builder import OscMessageBuilder  # noqa: E402

from enrapt.contracts.errors import UserError  # noqa: E402
from enrapt.contracts.schemas import SPEAKING  # noqa: E402
from enrapt.realtime.session import LiveSession  # noqa: E402
from enrapt.realtime.sources.osc import OscStream  # noqa: E402
from tests.support.bundles import make_bundle  # noqa: E402
from tests.support.inlet import FakeInlet, until  # noqa: E402

pytestmark = pytest.mark.live


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Robot:
    """Sends to a port of this computer."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, ("127.0.0.1", self.port))

    def say(self, path: str, *values: object) -> None:
        message = OscMessageBuilder(path)
        for value in values:
            message.add_arg(value)
        self.send(message.build().dgram)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def inlet() -> FakeInlet:
    return FakeInlet(1, SPEAKING.name)


@pytest.fixture
def robot(port: int, inlet: FakeInlet) -> Iterator[Robot]:
    device = OscStream(f"osc://:{port}/robot/speaks", "partner")
    device.open(inlet)
    yield Robot(port)
    device.close()
    assert inlet.errors == []


def received(inlet: FakeInlet) -> list[float]:
    return [float(s.values[0]) for s in inlet.samples if s.values is not None]


def test_messages_are_samples_at_their_arrival(robot: Robot, inlet: FakeInlet) -> None:
    before = inlet.clock()
    for value in (1.0, 0, True, False):
        robot.say("/robot/speaks", value)
    until(lambda: len(inlet.samples) == 4, 10)
    assert received(inlet) == [1, 0, 1, 0]
    assert all(before <= s.time <= s.arrived for s in inlet.samples)


def test_messages_in_a_bundle(robot: Robot, inlet: FakeInlet) -> None:
    bundle = OscBundleBuilder(IMMEDIATELY)
    for path, value in (("/robot/speaks", 1.0), ("/robot/moves", 0.5), ("/robot/speaks", 0.25)):
        message = OscMessageBuilder(path)
        message.add_arg(value, "f")
        bundle.add_content(message.build())
    robot.send(bundle.build().dgram)
    until(lambda: len(inlet.samples) == 2, 10)
    assert received(inlet) == [1, 0.25]


def test_other_values_are_unreadable_and_other_messages_ignored(robot: Robot, inlet: FakeInlet) -> None:
    rng = random.Random(0)
    for datagram in (b"", b"/robot/speaks", b"#bundle\0", *(rng.randbytes(n) for n in range(1, 60))):
        robot.send(datagram)
    nested = b""
    for _ in range(2500):
        nested = b"#bundle\0" + bytes(8) + len(nested).to_bytes(4, "big") + nested
    robot.send(nested)
    robot.say("/robot/other", 1.0)
    for values in ((0.5, 0.5), ("yes",), ()):
        robot.say("/robot/speaks", *values)
    robot.say("/robot/speaks", float("nan"))
    robot.say("/robot/speaks", 1.0)
    until(lambda: len(inlet.samples) == 2, 10)
    assert inlet.dropped == {"unreadable": 3}
    assert inlet.samples[0].values is None
    assert received(inlet) == [1]


def test_a_live_session_hears_the_robot(tmp_path, port: int) -> None:
    bundle = make_bundle(tmp_path / "two.onnx", [(n, 1, SPEAKING.name, 1.0) for n in ("own", "partner")])
    robot, present = Robot(port), []
    streams = {"partner": f"osc://127.0.0.1:{port}/speaks"}
    with LiveSession(None, None, streams=streams, bundle=str(bundle)) as session:
        for estimate in session:
            robot.say("/speaks", 1.0)
            present.append(estimate.present["partner"])
            if estimate.tick == 50:
                break
    assert np.mean(present[25:]) > 0.9


@pytest.mark.parametrize(
    "address",
    ["osc://:9000", "osc://:0/a", "osc://:70000/a", "osc://h:9000/a*", "osc:9000/a", "osc://a b:1/c"],
)
def test_addresses_of_another_form(address: str) -> None:
    with pytest.raises(UserError, match="give osc://HOST:PORT/PATH"):
        OscStream(address, "partner")


def test_a_port_in_use_is_one_line(port: int, inlet: FakeInlet) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        device = OscStream(f"osc://:{port}/a", "partner")
        with pytest.raises(UserError, match=r"cannot be received at .*in use"):
            device.open(inlet)
