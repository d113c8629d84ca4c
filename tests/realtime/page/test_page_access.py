import asyncio
import socket
import urllib.request
from http.cookies import SimpleCookie

import pytest
from starlette.responses import PlainTextResponse

from enrapt.realtime.page.access import AccessControl
from enrapt.realtime.page.hosts import is_loopback, network, reachable
from enrapt.realtime.page.server import PageServer
from tests.support.served import HANDSHAKE, port_of, receive, request, tick, websocket

pytestmark = pytest.mark.live


def status_of(token=None, path="/", kind="http", **headers):
    """Status of the response to a request of a server at port 8765."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "method": "GET",
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }
    access = AccessControl(PlainTextResponse("yes"), 8765, token)
    asyncio.run(access(scope, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("127.0.0.1", 200),
        ("127.8.9.1:8765", 200),
        ("localhost:8765", 200),
        ("LOCALHOST:8765", 200),
        ("[::1]:8765", 200),
        ("[::1]", 200),
        ("127.0.0.1:9000", 200),  # a forwarded port
        ("evil.example:8765", 403),
        ("localhost.evil.example:8765", 403),
        ("192.168.1.5:8765", 403),
        ("0.0.0.0:8765", 403),
        ("localhost:8765@evil.example", 403),
        ("localhost:evil", 403),
        ("", 403),
        (":8765", 403),
    ],
)
def test_without_a_token_the_host_header_must_name_this_machine(host, status, kind):
    assert status_of(kind=kind, host=host) == status


@pytest.mark.parametrize("host", ["192.168.1.5:8765", "robot.local:8765", "robot.example", "[fe80::1]:80"])
def test_with_the_token_the_server_has_any_name_and_port(host):
    assert status_of("secret", "/?token=secret", host=host, origin=f"http://{host}") == 200
    assert status_of("secret", "/", host=host, origin=f"http://{host}") == 401
    assert status_of("secret", "/?token=secret", host=host, origin="http://evil.example") == 403


def test_request_without_host_is_refused():
    assert status_of() == 403
    assert status_of("secret", "/?token=secret", origin="http://") == 403


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8765", 200),
        ("http://localhost:8765", 403),  # another origin
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1:8766", 403),
        ("https://127.0.0.1:8765", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origin_must_be_the_server(origin, status, kind):
    assert status_of(kind=kind, host="127.0.0.1:8765", origin=origin) == status


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
def test_token_is_required_where_other_machines_can_connect(path, headers, status, kind):
    assert status_of("secret", path, kind, host="192.168.1.5:8765", **headers) == status


def test_token_does_not_admit_another_origin():
    headers = {"host": "192.168.1.5:8765", "cookie": "enrapt_8765=secret", "origin": "http://evil.example"}
    assert status_of("secret", **headers) == 403


@pytest.mark.parametrize(
    ("host", "loopback"),
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
def test_loopback(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_network_of_a_client(host, where):
    assert network(host) == where


def test_server_that_listens_on_all_addresses_is_reached_at_one_of_this_machine():
    assert reachable("127.0.0.1") == "127.0.0.1"
    server = PageServer("0.0.0.0", 0)
    try:
        assert "//0.0.0.0" not in server.address
        with urllib.request.urlopen(server.address) as response:
            assert response.status == 200
    finally:
        server.close(True)


def test_without_a_network_the_machines_name_is_its_address(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert reachable("0.0.0.0") == reachable("::") == socket.gethostname()


def unreachable(*_):
    raise OSError("no route")


def test_server_refuses_other_hosts_and_origins_over_http_and_websocket(server):
    assert request(server, "/estimate", Host="evil.example")[0] == 403
    assert request(server, "/estimate", Origin="http://evil.example")[0] == 403
    assert request(server, "/page", **HANDSHAKE)[0] == 101
    assert request(server, "/page", Host="evil.example", **HANDSHAKE)[0] == 403
    assert request(server, "/page", Origin="http://evil.example", **HANDSHAKE)[0] == 403
    with websocket(server, "/ws", origin=f"http://127.0.0.1:{port_of(server)}") as client:
        server.write(*tick(0))
        assert receive(client)["tick"] == 0


def test_no_token_on_loopback(server):
    assert server.address == f"http://127.0.0.1:{port_of(server)}/"


def test_address_with_token_sets_a_cookie_that_admits_the_browser():
    server = PageServer("0.0.0.0", 0)
    try:
        where, _, token = server.address.partition("/?token=")
        assert where == f"http://{reachable('0.0.0.0')}:{port_of(server)}"
        assert server.invitation == server.address
        assert len(token) >= 22  # 128 bits
        status, headers, _ = request(server, "/")
        assert (status, headers["www-authenticate"], headers["set-cookie"]) == (401, "Bearer", None)
        assert request(server, "/ws", **HANDSHAKE)[0] == 401
        status, headers, _ = request(server, f"/?token={token}")
        assert status == 200
        cookie = SimpleCookie(headers["set-cookie"])[f"enrapt_{port_of(server)}"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        with websocket(
            server, "/ws", additional_headers={"Cookie": f"{cookie.key}={cookie.value}"}
        ) as client:
            server.write(*tick(0))
            assert receive(client)["tick"] == 0
        assert request(server, "/openapi.json", Authorization=f"Bearer {token}")[0] == 200
    finally:
        server.close(True)
    other = PageServer("0.0.0.0", 0)
    other.close(True)
    assert token not in other.address
