import asyncio
import socket
from http.cookies import SimpleCookie

import pytest
from starlette.responses import PlainTextResponse

from enrapt.realtime.page.safety import Safety, is_loopback
from enrapt.realtime.page.server import PageServer
from tests.support.served import HANDSHAKE, ask, listen, port_of, tick, told


def answer(listens, token=None, path="/", kind="http", **headers):
    """Status of what `Safety` says for a server that listens at `listens`:8765."""
    said = []

    async def send(message):
        said.append(message)

    scope = {
        "type": kind,
        "method": "GET",
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }
    safety = Safety(PlainTextResponse("yes"), listens, 8765, token)
    asyncio.run(safety(scope, None, send))
    return said[0]["status"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("listens", "asked", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8765", 200),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "localhost:8765", 200),
        ("127.0.0.1", "LOCALHOST:8765", 200),
        ("::1", "[::1]:8765", 200),
        ("::1", "[::1]", 200),
        ("127.0.0.1", "127.0.0.1:8766", 403),
        ("127.0.0.1", "evil.example:8765", 403),
        ("127.0.0.1", "localhost.evil.example:8765", 403),
        ("127.0.0.1", "192.168.1.5:8765", 403),
        ("127.0.0.1", "localhost:8765@evil.example", 403),
        ("127.0.0.1", "", 403),
        ("127.0.0.1", ":8765", 403),
        ("192.168.1.5", "192.168.1.5:8765", 200),
        ("192.168.1.5", "192.168.1.6:8765", 403),
        ("0.0.0.0", "192.168.1.5:8765", 200),
        ("0.0.0.0", "[fe80::1]:8765", 200),
        ("0.0.0.0", f"{socket.gethostname()}:8765", 200),
        ("0.0.0.0", "evil.example:8765", 403),
        ("0.0.0.0", ":8765", 403),
    ],
)
def test_the_host_that_is_asked_for_must_be_this(listens, asked, status, kind):
    assert answer(listens, kind=kind, host=asked) == status


def test_without_a_host_nothing_is_answered():
    assert answer("127.0.0.1") == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8765", 200),
        ("http://localhost:8765", 403),  # is another origin
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1:8766", 403),
        ("https://127.0.0.1:8765", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_an_origin_must_be_this(origin, status, kind):
    assert answer("127.0.0.1", kind=kind, host="127.0.0.1:8765", origin=origin) == status


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401),
        ("/?token=", {}, 401),
        ("/?token=secre", {}, 401),
        ("/?token=secret2", {}, 401),
        ("/?token=s%C3%A9cret", {}, 401),
        ("/?tokens=secret", {}, 401),
        ("/?token=secret", {}, 200),
        ("/?x=1&token=secret", {}, 200),
        ("/", {"authorization": "Bearer secret"}, 200),
        ("/", {"authorization": "bearer secret"}, 200),
        ("/", {"authorization": "Basic secret"}, 401),
        ("/", {"authorization": "secret"}, 401),
        ("/", {"authorization": "Bearer "}, 401),
        ("/", {"cookie": "enrapt_8765=secret"}, 200),
        ("/", {"cookie": "enrapt_8766=secret"}, 401),
        ("/", {"cookie": "a=b; enrapt_8765=secret"}, 200),
    ],
)
def test_where_others_can_connect_the_token_is_needed(path, headers, status, kind):
    assert answer("0.0.0.0", "secret", path, kind, host="192.168.1.5:8765", **headers) == status


def test_a_token_does_not_let_another_origin_in():
    asked = {"host": "192.168.1.5:8765", "cookie": "enrapt_8765=secret", "origin": "http://evil.example"}
    assert answer("0.0.0.0", "secret", **asked) == 403


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example", False),
    ],
)
def test_who_can_connect(host, alone):
    assert is_loopback(host) is alone


def test_the_server_itself_refuses_over_http_and_websocket(server):
    assert ask(server, "/estimate", Host="evil.example")[0] == 403
    assert ask(server, "/estimate", Origin="http://evil.example")[0] == 403
    assert ask(server, "/page", **HANDSHAKE)[0] == 101
    assert ask(server, "/page", Host="evil.example", **HANDSHAKE)[0] == 403
    assert ask(server, "/page", Origin="http://evil.example", **HANDSHAKE)[0] == 403
    with listen(server, "/ws", origin=f"http://127.0.0.1:{port_of(server)}") as client:
        server.write(*tick(0))
        assert told(client)["tick"] == 0


def test_on_loopback_there_is_no_token(server):
    assert server.address == f"http://127.0.0.1:{port_of(server)}/"


def test_the_address_lets_a_browser_in_for_good_and_nothing_else_does():
    server = PageServer("0.0.0.0", 0)
    try:
        where, _, token = server.address.partition("/?token=")
        assert where == f"http://0.0.0.0:{port_of(server)}"
        assert len(token) >= 22  # 128 bits
        status, headers, _ = ask(server, "/")
        assert (status, headers["www-authenticate"], headers["set-cookie"]) == (401, "Bearer", None)
        assert ask(server, "/ws", **HANDSHAKE)[0] == 401
        status, headers, _ = ask(server, f"/?token={token}")
        assert status == 200
        cookie = SimpleCookie(headers["set-cookie"])[f"enrapt_{port_of(server)}"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        with listen(server, "/ws", additional_headers={"Cookie": f"{cookie.key}={cookie.value}"}) as client:
            server.write(*tick(0))
            assert told(client)["tick"] == 0
        assert ask(server, "/openapi.json", Authorization=f"Bearer {token}")[0] == 200
    finally:
        server.close(True)
    other = PageServer("0.0.0.0", 0)
    other.close(True)
    assert token not in other.address
