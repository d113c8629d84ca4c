"""Numbers served by WebSocket, as a dialogue system does that speaks."""

import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import SPEAKING
from enrapt.realtime.session import LiveSession
from enrapt.realtime.sources.web_socket import WebSocketStream
from tests.support.bundles import make_bundle
from tests.support.inlet import FakeInlet, until

pytestmark = pytest.mark.live


@pytest.fixture
def served() -> Iterator[Callable[..., int]]:
    """Starts a server that handles each connection with that function; its port."""
    servers: list[tuple[Server, threading.Thread]] = []

    def start(handle: Callable[[ServerConnection], None], port: int = 0) -> int:
        server = serve(handle, "127.0.0.1", port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        found: int = server.socket.getsockname()[1]
        return found

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()


@pytest.fixture
def inlet() -> FakeInlet:
    return FakeInlet(1, SPEAKING.name)


def values(inlet: FakeInlet) -> list[float | None]:
    return [None if s.values is None else float(s.values[0]) for s in inlet.samples]


def test_messages_are_samples_and_others_unreadable(served: Callable[..., int], inlet: FakeInlet) -> None:
    closed = threading.Event()

    def robot(connection: ServerConnection) -> None:
        for text in (
            "1",
            "[0.25]",
            "true",
            b"0",
            "null",
            "[1, 2]",
            "speaks",
            '{"a": 1}',
            "[" * 9000,
            "1" * 400,
        ):
            connection.send(text)
        closed.wait(10)

    device = WebSocketStream(f"ws://127.0.0.1:{served(robot)}/speaks", "partner")
    device.open(inlet)
    until(lambda: inlet.captured == 10, 10)
    closed.set()
    device.close()
    assert values(inlet) == [1, 0.25, 1, 0, None]
    assert inlet.dropped == {"unreadable": 5}
    assert inlet.errors == []


def test_it_connects_again_after_a_break(served: Callable[..., int], inlet: FakeInlet) -> None:
    connections: list[int] = []

    def robot(connection: ServerConnection) -> None:
        connections.append(1)
        connection.send(f"{len(connections)}")

    device = WebSocketStream(f"ws://127.0.0.1:{served(robot)}", "partner")
    device.open(inlet)
    until(lambda: len(inlet.samples) >= 2, 10)
    device.close()
    assert values(inlet)[:2] == [1, 2]
    assert device.restarts >= 1


def test_a_live_session_hears_the_robot(served: Callable[..., int], tmp_path) -> None:
    ended = threading.Event()

    def robot(connection: ServerConnection) -> None:
        while not ended.wait(0.05):
            connection.send("1")

    bundle = make_bundle(tmp_path / "two.onnx", [(n, 1, SPEAKING.name, 1.0) for n in ("own", "partner")])
    streams = {"partner": f"ws://127.0.0.1:{served(robot)}/"}
    present = []
    with LiveSession(None, None, streams=streams, bundle=str(bundle)) as session:
        for estimate in session:
            present.append(estimate.present["partner"])
            if estimate.tick == 50:
                break
    ended.set()
    assert sum(present[25:]) > 20


@pytest.mark.parametrize("address", ["ws://", "http://a", "ws:9", "ws://a:b"])
def test_addresses_of_another_form(address: str) -> None:
    with pytest.raises(UserError, match="give ws://HOST:PORT/PATH"):
        WebSocketStream(address, "partner")


def test_a_server_that_is_not_there_is_one_line(inlet: FakeInlet) -> None:
    device = WebSocketStream("ws://127.0.0.1:9/speaks", "partner")
    with pytest.raises(UserError, match=r"cannot be reached .*start what serves it first"):
        device.open(inlet)
