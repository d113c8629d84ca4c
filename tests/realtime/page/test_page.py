"""The page in a real browser: values, connection and history."""

import json
import time

import pytest

from enrapt.realtime.outputs import Outputs
from enrapt.realtime.page.clients import Client
from enrapt.realtime.page.server import PageServer
from tests.support.browser import Page
from tests.support.served import FakeRun, feed, observed, port_of, varying

pytestmark = pytest.mark.live

# Whether anything blue is drawn on the chart.
DRAWN = """(chart => {
    const { data } = chart.getContext("2d").getImageData(0, 0, chart.width, chart.height);
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] && data[i + 2] > data[i] + 90) return true;
    return false;
})(document.getElementById("chart"))"""


def test_values_are_those_of_json_lines(browser, server, run, tmp_path):
    page = Page(browser, server.address)
    file, shown = tmp_path / "estimates.jsonl", []
    with Outputs([f"jsonl:{file}"], live=False, warn=print) as outputs:
        for tick, mean in enumerate((0.6172, 0.1234, 0.99, 0.0, 0.5)):
            one = varying(tick, face=tick != 2, mean=mean)
            outputs.write(*one)
            server.write(*one)
            page.shows(tick)
            chips = page.js("[...document.querySelectorAll('#presence li')].map(li => ({...li.dataset}))")
            shown.append(
                (page.data(), chips, page.text("#mean"), page.text("#bounds"), page.text("#surprise"))
            )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line, (data, chips, mean, bounds, surprise) in zip(lines, shown, strict=True):
        engagement = line["engagement"]
        for name in ("mean", "low", "high"):
            assert float(data[name]) == engagement[name]
        assert float(data["t"]) == line["t"]
        for chip in chips:
            age = line["age_ms"][chip["name"]]
            assert chip["present"] == str(line["present"][chip["name"]]).lower()
            assert chip["age"] == ("" if age is None else str(age))
        assert mean == f"{engagement['mean']:.2f}"
        assert bounds == f"{engagement['low']:.2f} – {engagement['high']:.2f}"
        nats = line["surprise"]["face"]
        assert surprise.split() == ["face", "–" if nats is None else f"{nats:.1f}", "audio", "−41.5"]
    assert page.text("#head").split()[:2] == ["yaw", "−20°"]
    assert page.text("#expressions").split("\n")[:2] == ["jaw open", "0.75"]
    assert page.text("#voice").split("\n")[2:] == ["level", "−30 dB"]
    assert page.text("#latency").split()[-4:] == ["step", "0.07", "0.09", "0.20"]
    page.until(lambda: page.text("#drops").split() == ["face", "superseded", "3"])


def test_page_contacts_this_server_only_and_logs_no_errors(browser, server, run):
    page = Page(browser, server.address)
    feed(server, range(30))
    page.shows(29)
    assert page.driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    requested = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    sockets = {m["params"]["url"] for m in sent if m["method"] == "Network.webSocketCreated"}
    assert {address.removeprefix(server.address) for address in requested} == {
        "", "page.css", "page.js", "chart.js", "link.js", "meters.js", "people.js", "preview.js", "run.js",
        "icon.svg", "history",
    }  # fmt: skip
    assert sockets == {server.address.replace("http", "ws") + "page"}


def test_page_reconnects_and_loads_what_it_missed(browser):
    server = PageServer(port=0)
    observed(server, kind="replay", name="interview.mp4")
    page = Page(browser, server.address)
    feed(server, range(10))
    page.shows(9)
    server.close(True)
    page.until(lambda: page.alerts == "✕ Not connected to enrapt; reconnecting")
    server = PageServer(port=port_of(server))
    observed(server, kind="replay", name="interview.mp4")
    feed(server, range(40))
    page.until(lambda: page.alerts == "")
    feed(server, range(40, 50))
    page.shows(49)
    page.until(lambda: page.js("document.getElementById('at').min") == "0")
    page.until(lambda: scrubbed(page, 1.2) == "0.33")  # tick 30, which only /history has
    page.until(lambda: page.text("#time") == "0:01 of 0:01")
    feed(server, range(50, 60))
    time.sleep(0.2)
    assert page.data()["t"] == "1.2"
    page.key("f")
    page.shows(59)
    server.close(True)


def test_page_opened_after_the_last_estimate_shows_the_history(browser, server, run):
    feed(server, range(30))
    page = Page(browser, server.address)
    page.until(lambda: page.data().get("t") == "1.16")
    assert float(page.data()["mean"]) == 0.329
    assert page.js(DRAWN)
    page.until(lambda: page.alerts == "▲ No estimates")


def test_estimate_that_is_in_the_history_already_changes_nothing(browser, server, run):
    page = Page(browser, server.address)
    feed(server, [*range(20), 15])
    server.mark(0.5, "after it")
    page.until(lambda: "after it" in page.text("#message"))
    assert page.data()["tick"] == "19"


def test_page_loads_what_a_fast_replay_dropped(browser, threaded, monkeypatch):
    observed(threaded, kind="replay", name="interview.mp4", duration=40.0)
    page = Page(browser, threaded.address)
    feed(threaded, range(20))
    page.shows(19)
    with monkeypatch.context() as dropping:
        dropping.setattr(Client, "put", lambda *_: None)
        for tick in range(20, 990):
            threaded.write(*varying(tick))
        time.sleep(0.3)
    feed(threaded, range(990, 1000))
    page.until(lambda: page.js("document.getElementById('at').max") == str(999 / 25))
    assert threaded.counts.dropped.total() == 0
    for tick in (30, 500, 985, 995):
        mean = str(varying(tick)[0].engagement.mean)
        page.until(lambda tick=tick, mean=mean: scrubbed(page, tick / 25) == mean, seconds=3)
    threaded.close(True)
    page.until(lambda: page.alerts == "■ The replay has ended")


def test_page_sends_the_token(browser):
    server = PageServer("0.0.0.0", 0)
    server.observe(FakeRun())
    page = Page(browser, server.address.replace("0.0.0.0", "127.0.0.1"))
    feed(server, range(5))
    page.shows(4)
    browser.delete_all_cookies()
    server.close(True)


def test_silence_is_a_lost_connection_only_in_a_live_run(browser, server, run):
    page = Page(browser, server.address)
    page.driver.get_log("performance")
    opened = lambda: sum("webSocketCreated" in e["message"] for e in page.driver.get_log("performance"))  # noqa: E731
    six_seconds_later = "(now => { Date.now = () => now() + 6000; })(Date.now.bind(Date))"
    page.js(six_seconds_later)
    page.until(opened)
    observed(server, kind="replay", name="interview.mp4")
    page.until(lambda: "replay" in page.text("#run"))
    page.js(six_seconds_later)
    time.sleep(1.5)  # it checks once a second
    assert opened() == 0


def scrubbed(page, t):
    """The mean shown at a time."""
    page.js("document.getElementById('at').value = arguments[0]", t)
    page.js("document.getElementById('at').dispatchEvent(new Event('input'))")
    time.sleep(0.05)
    return page.data()["mean"]
