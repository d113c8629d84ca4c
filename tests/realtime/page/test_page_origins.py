"""Pages of other sites: those of an allowed origin connect, others do not."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from enrapt.realtime.page.server import PageServer
from tests.support.served import HANDSHAKE, port_of, receive, request, tick, wait_until, websocket

pytestmark = pytest.mark.live

SITE, TOKEN = "https://app.example", "0123456789abcdef"
ASKED = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(params=[None, TOKEN], ids=["no token", "token"])
def allowing(request) -> Iterator[PageServer]:
    server = PageServer(port=0, origins=["http://other.example", SITE], token=request.param)
    yield server
    server.close(True)


def test_response_to_an_allowed_origin_can_be_read_by_it(allowing):
    for path in ("/health", "/estimate", "/history", "/metrics", "/openapi.json", "/nothing"):
        _, headers, _ = request(allowing, path, Origin=SITE, **BEARER)
        assert headers["access-control-allow-origin"] == SITE
        assert headers["vary"] == "Origin"
        assert headers["access-control-allow-credentials"] is None


def test_other_origins_get_nothing(allowing):
    evil = ["http://app.example", f"{SITE}:8443", f"{SITE}.evil.example", "null", "*", "", f"{SITE}, {SITE}"]
    for origin in evil:
        for headers in (BEARER, ASKED, HANDSHAKE | BEARER):
            method = "OPTIONS" if headers is ASKED else "GET"
            status, answer, _ = request(allowing, "/ws", method, Origin=origin, **headers)
            assert status == 403
            assert answer["access-control-allow-origin"] is None


def test_browser_may_ask_before_it_has_shown_the_token(allowing):
    status, headers, content = request(allowing, "/estimate", "OPTIONS", Origin=SITE, **ASKED)
    assert (status, content) == (204, b"")
    assert headers["access-control-allow-origin"] == SITE
    assert headers["access-control-allow-methods"] == "GET"
    assert headers["access-control-allow-headers"] == "authorization"
    status, _, _ = request(allowing, "/estimate", "OPTIONS", Origin=SITE, Host="evil.example", **ASKED)
    assert (status == 403) == ("token" not in allowing.invitation)


def test_allowed_origin_needs_the_token():
    server = PageServer(port=0, origins=[SITE], token=TOKEN)
    try:
        for headers in ({}, HANDSHAKE):
            status, answer, _ = request(server, "/ws", Origin=SITE, **headers)
            assert status == 401
            assert answer["access-control-allow-origin"] == SITE  # it may know why
        with websocket(server, f"/ws?token={TOKEN}", origin=SITE) as client:
            server.write(*tick(0))
            assert receive(client)["tick"] == 0
    finally:
        server.close(True)


def test_without_allowed_origins_no_response_is_for_other_sites(idle_server):
    _, headers, _ = request(idle_server, "/health")
    assert not {name for name in headers if name.startswith("access-control") or name == "vary"}


# A page of another site, which puts what it gets into its title.
FRONT_END = """<!doctype html><script type="module">
const [server, token] = location.hash.slice(1).split(",");
const authorization = token && { headers: { Authorization: `Bearer ${token}` } };
const estimate = fetch(`http://${server}/estimate`, authorization || {});
const got = await estimate.then((response) => response.json()).then((e) => e.tick, () => "nothing");
const socket = new WebSocket(`ws://${server}/ws` + (token ? `?token=${token}` : ""));
const heard = new Promise((done) => {
  socket.onmessage = (message) => done(JSON.parse(message.data).tick);
  socket.onerror = () => done("nothing");
});
document.title = `got ${got}, heard ${await heard}`;
</script>"""


class FrontEnd(BaseHTTPRequestHandler):
    def do_GET(self):
        content = FRONT_END.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FrontEnd) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("origin", "shown", "title"),
    [
        ("the site", TOKEN, "got 7, heard 8"),
        ("the site", "wrong", "got 7, heard 8"),
        ("http://localhost:1", TOKEN, "got nothing, heard nothing"),
        (None, TOKEN, "got nothing, heard nothing"),
    ],
)
def test_front_end_in_a_browser(browser, site, token, origin, shown, title):
    if shown == "wrong" and token is not None:
        title = "got undefined, heard nothing"  # the response has an error instead
    origins = [] if origin is None else [site if origin == "the site" else origin]
    server = PageServer(port=0, origins=origins, token=token)
    try:
        server.write(*tick(7))
        bearer = {} if token is None else BEARER
        wait_until(lambda: request(server, "/estimate", **bearer)[0] == 200)  # which the page's process has
        browser.get("about:blank")
        browser.get(f"{site}/#127.0.0.1:{port_of(server)},{shown}")

        def finished():
            health = request(server, "/health", **bearer)[2]
            if json.loads(health)["clients"]:
                server.write(*tick(8))
            return browser.title.startswith("got")

        wait_until(finished)
        assert browser.title == title
    finally:
        server.close(True)
