"""One page of several people with devices of their own, in a real browser, and the page of each below it."""

import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime import Group, LiveSession
from tests.support.browser import Page, chromium
from tests.support.devices import FakeDevice, microphone

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        driver.set_window_size(1280, 900)
        yield driver


@pytest.fixture
def group(tiny_bundle, tmp_path):
    """Of anna, with a face and a voice, and of ben, with a face only."""
    face = np.zeros(FACE.dim, np.float32)
    devices = {
        "anna": [FakeDevice(values=face), microphone()],
        "ben": [FakeDevice(values=face)],
    }
    sessions = {
        name: LiveSession(None, None, devices=own, bundle=tiny_bundle, warn=lambda line: None)
        for name, own in devices.items()
    }
    with Group(sessions, tmp_path / "pair", lambda line: None, to="ui:0") as group:
        yield group


def strip(page: Page, name: str) -> dict[str, str]:
    found: dict[str, str] = page.js("({...document.querySelector(arguments[0])?.dataset})", _css(name))
    return found


def text(page: Page, name: str) -> str:
    return page.text(_css(name))


def _css(name: str) -> str:
    return f".strip[data-name={name}]"


def get(group: Group, path: str) -> tuple[int, Any]:
    assert group.page is not None
    try:
        with urllib.request.urlopen(group.page.address + path, timeout=5) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def test_a_strip_for_each_with_what_is_missing(browser, group):
    group.start()
    page = Page(browser, group.page.address)
    page.until(lambda: strip(page, "anna").get("tick", "") > "" and strip(page, "ben").get("tick", "") > "")
    for name, mean in (("anna", 0.8), ("ben", 0.6)):  # the tiny bundle's, of what is present
        page.until(lambda name=name, mean=mean: float(strip(page, name)["mean"]) == mean)
        assert f"{mean:.2f}" in text(page, name)
    assert "● audio" in text(page, "anna")
    assert "▲ audio missing" in text(page, "ben")
    assert "recording to" in page.text("#recording")
    first = int(strip(page, "ben")["tick"])
    page.until(lambda: int(strip(page, "ben")["tick"]) > first + 10)
    group.mark("both")
    page.until(lambda: page.js("document.querySelectorAll('canvas').length") == 2)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_who_has_ended_is_said_and_the_other_goes_on(browser, group):
    group.start()
    page = Page(browser, group.page.address)
    page.until(lambda: strip(page, "ben").get("tick", "") > "")
    group.people["ben"].stop()
    page.until(lambda: "has ended" in text(page, "ben"))
    first = int(strip(page, "anna")["tick"])
    page.until(lambda: int(strip(page, "anna")["tick"]) > first + 5)
    assert "has ended" not in text(page, "anna")
    page.driver.refresh()  # a page opened later shows the same
    page.until(lambda: "has ended" in page.text("#strips"))
    assert get(group, "health")[0] == 200


def test_the_page_of_each_is_below_it_and_controls_that_one_only(browser, group):
    group.start()
    page = Page(browser, group.page.address)
    page.until(lambda: strip(page, "ben").get("tick", "") > "")
    page.driver.find_element("css selector", ".strip[data-name=ben] a").click()
    page.until(lambda: page.js("document.getElementById('mean') !== null"))
    page.until(lambda: page.data().get("tick"))
    assert page.js("location.pathname") == "/people/ben/"
    page.key("p")
    page.until(lambda: group.people["ben"].paused)
    assert not group.people["anna"].paused
    page.driver.find_element("css selector", "#all").click()
    page.until(lambda: page.js("document.querySelectorAll('.strip').length") == 2)
    page.until(lambda: "paused" in text(page, "ben"))
    assert "paused" not in text(page, "anna")


def test_endpoints_of_each_are_below_it(group):
    status, health = get(group, "health")
    assert (status, {one["status"] for one in health["people"].values()}) == (503, {"starting"})
    assert get(group, "people/anna/estimate")[0] == 404
    group.start()
    with connect(group.page.address.replace("http", "ws") + "page") as socket_:
        kinds = {name: set() for name in ("anna", "ben")}
        while not all({"hello", "estimate", "status"} <= found for found in kinds.values()):
            message = json.loads(socket_.recv(timeout=5))
            if message["type"] == "people":
                assert message["names"] == ["anna", "ben"]
            else:
                kinds[message["who"]].add(message["type"])
        socket_.send(json.dumps({"do": "pause"}))  # of whom?
        assert closed(socket_) == (1008, "no messages are accepted here")
    present = {"anna": {"face": True, "audio": True}, "ben": {"face": True, "audio": False}}
    until = time.monotonic() + 10  # the first estimates may come before what they are of
    while {name: get(group, f"people/{name}/estimate")[1]["present"] for name in present} != present:
        assert time.monotonic() < until
    assert get(group, "people/ben/history")[1]["mean"][-1] == 0.6
    assert get(group, "health")[0] == 200
    with urllib.request.urlopen(group.page.address + "people/anna") as page:
        assert page.url == group.page.address + "people/anna/"
    for path in ("people/cem/", "people/", "index.html", "people/anna/group.html"):
        assert get_status(group, path) == 404


def closed(websocket: ClientConnection) -> tuple[int, str]:
    """Read until the server closes it; the code and the reason."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            websocket.recv(timeout=5)
    frame = websocket.protocol.close_rcvd
    assert frame is not None
    return frame.code, frame.reason


def get_status(group: Group, path: str) -> int:
    try:
        with urllib.request.urlopen(group.page.address + path, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_names_may_have_any_letters(tiny_bundle):
    session = LiveSession(None, None, devices=[microphone()], bundle=tiny_bundle, warn=lambda line: None)
    with Group({"Zoë.2": session}, to="ui:0") as group:
        group.start()
        path = "people/Zo%C3%AB.2"
        while get(group, f"{path}/estimate")[0] != 200:
            pass
        assert get_status(group, path) == get_status(group, f"{path}/") == 200


def test_a_command_names_nobody_else(group):
    """A client of ben's page cannot reach anna by what it sends."""
    group.start()
    address = group.page.address.replace("http", "ws") + "people/ben/page"
    with connect(address) as page:
        page.send(json.dumps({"do": "pause", "name": "anna"}))
        assert closed(page) == (1008, "not a command")
    assert not any(session.paused for session in group.people.values())


def test_a_port_in_use_is_one_line_and_nothing_is_left(tiny_bundle, tmp_path):
    session = LiveSession(None, None, devices=[FakeDevice()], bundle=tiny_bundle)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"port {port} is in use"),
            Group({"anna": session}, tmp_path / "pair", to=f"ui:{port}"),
        ):
            pass
    assert not (tmp_path / "pair").exists()
