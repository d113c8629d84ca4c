"""The page in a real browser, on a real server that is fed with known estimates."""

import json
import socket
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.streams.samples import SECOND, Observation

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
pytest.importorskip("uvicorn", reason="no uvicorn")
from enrapt.realtime.page.clients import Client  # noqa: E402
from enrapt.realtime.page.server import PageServer  # noqa: E402

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="no chromium here")

# Whether there is anything blue on the chart.
DRAWN = """(chart => {
    const { data } = chart.getContext("2d").getImageData(0, 0, chart.width, chart.height);
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] && data[i + 2] > data[i] + 90) return true;
    return false;
})(document.getElementById("chart"))"""

HELLO = {
    "kind": "live",
    "name": "live",
    "rate": 25,
    "bundle": {"name": "B", "sha256": "0123456789", "trained_on": "nobody", "not_for": "anything"},
    "modalities": ["face", "audio"],
    "can": ["pause", "mark", "reset", "calibrate"],
    "recording": None,
    "media_kept": False,
    "duration": None,
}
STATUS = {
    "devices": [{"name": "camera", "state": "open", "given": "640×480"}],
    "drops": {"face": {"superseded": 3}},
    "latency_ms": {"step": {"p50": 0.07, "p95": 0.09, "p99": 0.2}},
    "paused": False,
    "calibrated": None,
    "outputs": {},
}


def estimate(tick, *, face=True, mean=None):
    mean = round(0.3 + 0.001 * tick, 4) if mean is None else mean
    return Estimate(
        tick,
        tick / 25,
        Engagement(mean, 0.0812, round(mean - 0.1237, 4), round(mean + 0.1411, 4)),
        {"face": face, "audio": True},
        {"face": 12.3 if face else None, "audio": 4.5},
        {"face": 3.217 if face else None, "audio": -41.5},
        Latency(0.07, 21.4, extract={"face": 5.2}),
    )


def observation(told):
    face = np.zeros(FACE.dim, np.float32)
    face[FACE.index("yaw")] = np.radians(-20)
    face[FACE.index("jawOpen")] = 0.75
    audio = np.zeros(AUDIO.dim, np.float32)
    audio[AUDIO.index("level")] = -30
    values = {"face": face if told.present["face"] else None, "audio": audio}
    age = {name: None if ms is None else round(ms * 1e6) for name, ms in told.age_ms.items()}
    return Observation(told.tick, told.tick * SECOND // 25, values, age)


def feed(server, ticks, *, face=True):
    for tick in ticks:
        told = estimate(tick, face=face)
        server.write(told, observation(told))
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for option in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "hide-scrollbars",
    ):
        options.add_argument(f"--{option}")
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
        yield driver
        driver.quit()


@pytest.fixture
def server():
    server = PageServer("127.0.0.1", free_port())
    server.hello(HELLO)
    server.status(STATUS)
    yield server
    server.close(True)


class Page:
    def __init__(self, driver, address):
        self.driver = driver
        for kind in ("browser", "performance"):
            driver.get_log(kind)  # what was before
        driver.get(address)
        self.until(lambda: "Connecting" not in self.alerts)

    def js(self, script, *args):
        return self.driver.execute_script(f"return {script}", *args)

    def text(self, css):
        return self.js("document.querySelector(arguments[0]).innerText", css)

    def data(self, css="#now"):
        return self.js("({...document.querySelector(arguments[0]).dataset})", css)

    @property
    def alerts(self):
        return self.text("#alerts")

    def key(self, key, css="body"):
        self.driver.find_element("css selector", css).send_keys(key)

    def until(self, condition, seconds=8.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text("body")
            time.sleep(0.02)

    def shows(self, tick):
        self.until(lambda: self.data().get("tick") == str(tick))


def commands(server, n, seconds=3.0):
    got, deadline = [], time.monotonic() + seconds
    while len(got) < n and time.monotonic() < deadline:
        got += server.commands()
        time.sleep(0.02)
    time.sleep(0.1)
    return [*got, *server.commands()]


def test_values_are_those_of_json_lines(browser, server, tmp_path):
    page = Page(browser, server.address)
    file, shown = tmp_path / "estimates.jsonl", []
    with Outputs([f"jsonl:{file}"], live=False, warn=print) as outputs:
        for tick, mean in enumerate((0.6172, 0.1234, 0.99, 0.0, 0.5)):
            told = estimate(tick, face=tick != 2, mean=mean)
            outputs.write(told, observation(told))
            server.write(told, observation(told))
            page.shows(tick)
            chips = page.js("[...document.querySelectorAll('#presence li')].map(li => ({...li.dataset}))")
            shown.append(
                (page.data(), chips, page.text("#mean"), page.text("#bounds"), page.text("#surprise"))
            )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line, (data, chips, mean, bounds, surprise) in zip(lines, shown, strict=True):
        told = line["engagement"]
        for name in ("mean", "low", "high"):
            assert float(data[name]) == told[name]
        assert float(data["t"]) == line["t"]
        for chip in chips:
            age = line["age_ms"][chip["name"]]
            assert chip["there"] == str(line["present"][chip["name"]]).lower()
            assert chip["age"] == ("" if age is None else str(age))
        assert mean == f"{told['mean']:.2f}"
        assert bounds == f"{told['low']:.2f} – {told['high']:.2f}"
        seen = line["surprise"]["face"]
        assert surprise.split() == ["face", "–" if seen is None else f"{seen:.1f}", "audio", "−41.5"]
    assert page.text("#head").split()[:2] == ["yaw", "−20°"]
    assert page.text("#expressions").split("\n")[:2] == ["jaw open", "0.75"]
    assert page.text("#voice").split("\n")[2:] == ["level", "−30 dB"]
    assert page.text("#latency").split()[-4:] == ["step", "0.07", "0.09", "0.20"]
    assert page.text("#drops").split() == ["face", "superseded", "3"]


def test_nothing_but_this_server_is_asked_and_nothing_is_complained_of(browser, server):
    page = Page(browser, server.address)
    feed(server, range(30))
    page.shows(29)
    assert page.driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    sockets = {m["params"]["url"] for m in sent if m["method"] == "Network.webSocketCreated"}
    assert {address.removeprefix(server.address) for address in asked} == {
        "", "page.css", "page.js", "chart.js", "link.js", "meters.js", "preview.js", "run.js", "icon.svg",
        "history",
    }  # fmt: skip
    assert sockets == {server.address.replace("http", "ws") + "page"}


def test_a_connection_that_is_cut_comes_back_with_what_was_missed(browser):
    port = free_port()
    server = PageServer("127.0.0.1", port)
    server.hello({**HELLO, "kind": "replay", "name": "interview.mp4"})
    page = Page(browser, server.address)
    feed(server, range(10))
    page.shows(9)
    server.close(True)
    page.until(lambda: page.alerts == "✕ Not connected to enrapt; trying again")
    server = PageServer("127.0.0.1", port)
    server.hello({**HELLO, "kind": "replay", "name": "interview.mp4"})
    feed(server, range(40))
    page.until(lambda: page.alerts == "")
    feed(server, range(40, 50))
    page.shows(49)
    page.until(lambda: page.js("document.getElementById('at').min") == "0")
    page.until(lambda: scrubbed(page, 1.2) == "0.33")  # tick 30, which only /history told
    assert page.text("#moment") == "0:01 of 0:01"
    feed(server, range(50, 60))
    time.sleep(0.2)
    assert page.data()["t"] == "1.2"
    page.key("f")
    page.shows(59)
    server.close(True)


def test_a_page_that_comes_when_nothing_comes_any_more_shows_what_was(browser, server):
    feed(server, range(30))
    page = Page(browser, server.address)
    page.until(lambda: page.data().get("t") == "1.16")
    assert float(page.data()["mean"]) == 0.329
    assert page.js(DRAWN)
    page.until(lambda: page.alerts == "▲ No estimates are coming")


def test_an_estimate_that_comes_after_the_history_has_told_it_changes_nothing(browser, server):
    page = Page(browser, server.address)
    feed(server, [*range(20), 15])
    server.mark(0.5, "after it")
    page.until(lambda: "after it" in page.text("#said"))
    assert page.data()["tick"] == "19"


def test_what_a_replay_was_too_fast_to_tell_is_looked_up(browser, server, monkeypatch):
    server.hello({**HELLO, "kind": "replay", "name": "interview.mp4", "duration": 40.0})
    page = Page(browser, server.address)
    feed(server, range(20))
    page.shows(19)
    with monkeypatch.context() as deaf:
        deaf.setattr(Client, "put", lambda *_: None)
        for tick in range(20, 990):
            server.write(estimate(tick), observation(estimate(tick)))
        time.sleep(0.3)
    feed(server, range(990, 1000))
    page.until(lambda: page.js("document.getElementById('at').max") == str(999 / 25))
    assert server.counts.dropped.total() == 0
    for tick in (30, 500, 985, 995):
        mean = str(estimate(tick).engagement.mean)
        page.until(lambda tick=tick, mean=mean: scrubbed(page, tick / 25) == mean, seconds=3)
    server.close(True)
    page.until(lambda: page.alerts == "■ The replay has ended")


def scrubbed(page, t):
    """The mean that is shown at a moment."""
    page.js("document.getElementById('at').value = arguments[0]", t)
    page.js("document.getElementById('at').dispatchEvent(new Event('input'))")
    time.sleep(0.05)
    return page.data()["mean"]


def test_who_wants_no_motion_has_a_chart_that_moves_once_a_second(browser, server):
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page = Page(browser, server.address + "#measure")
    feed(server, range(25))
    page.shows(24)
    page.js("performance.clearMarks()")
    feed(server, range(25, 75))
    page.shows(74)
    assert page.js("performance.getEntriesByName('drawn').length") > 25  # numbers as they come
    assert page.js("performance.getEntriesByName('frame').length") == 2
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_page_brings_the_token_along(browser):
    server = PageServer("0.0.0.0", free_port())
    server.hello(HELLO)
    page = Page(browser, server.address.replace("0.0.0.0", "127.0.0.1"))
    feed(server, range(5))
    page.shows(4)
    browser.delete_all_cookies()
    server.close(True)


@pytest.mark.long
def test_silence_is_a_dead_connection_only_where_the_run_is_live(browser, server):
    page = Page(browser, server.address)
    page.driver.get_log("performance")
    opened = lambda: sum("webSocketCreated" in e["message"] for e in page.driver.get_log("performance"))  # noqa: E731
    time.sleep(7.5)
    assert opened() == 1
    server.hello({**HELLO, "kind": "replay", "name": "interview.mp4"})
    time.sleep(7.5)
    assert opened() == 0


def test_what_is_wrong_is_told(browser, server):
    page = Page(browser, server.address)
    feed(server, range(5))
    page.until(lambda: page.alerts == "")
    feed(server, range(5, 80), face=False)
    page.until(lambda: page.alerts == "▲ No face in sight")
    server.status({**STATUS, "devices": [{"name": "camera", "state": "lost", "given": "640×480"}]})
    feed(server, range(80, 85), face=False)
    page.until(lambda: page.alerts == "✕ Camera lost")  # and no word of the face, which follows from it
    server.status(STATUS)
    feed(server, range(85, 90))
    page.until(lambda: page.alerts == "")
    page.until(lambda: page.alerts == "▲ No estimates are coming")
    server.status({**STATUS, "paused": True})
    page.until(lambda: page.alerts == "‖ Paused")


def test_recording_is_told_in_red(browser, server):
    page = Page(browser, server.address)
    assert page.js("document.getElementById('recording').hidden")
    server.hello({**HELLO, "recording": "sessions/anna", "media_kept": True})
    page.until(lambda: page.text("#recording") == "● recording to sessions/anna; pictures and sound are kept")
    red, green, blue = rgb(page.js("getComputedStyle(document.getElementById('recording')).color"))
    assert red > 2 * max(green, blue)


def test_what_the_bundle_is_not_for_stays_in_sight(browser, server):
    page = Page(browser, server.address)
    assert page.text("#bundle") == "B 01234567 · trained on: nobody · anything"
    page.js("window.scrollTo(0, 0)")
    assert page.js("document.getElementById('bundle').getBoundingClientRect().bottom <= innerHeight")


def test_commands_by_keyboard(browser, server):
    page = Page(browser, server.address)
    for key in "mrcp":
        page.key(key)
    told = [(command["do"], command.get("label", "")) for command in commands(server, 4)]
    assert told == [("mark", "mark"), ("reset", ""), ("calibrate", ""), ("pause", "")]
    server.status({**STATUS, "paused": True})
    page.until(lambda: page.text("#pause").startswith("Resume"))
    page.key("p")
    assert [command["do"] for command in commands(server, 1)] == ["resume"]
    page.key("prompt m\n", "#label")  # letters of a label are no commands
    assert [(c["do"], c["label"]) for c in commands(server, 1)] == [("mark", "prompt m")]
    server.mark(75.2, "prompt m")
    page.until(lambda: page.text("#said") == "Marked 1:15 prompt m")
    page.js("document.getElementById('keys').click()")
    page.key("m")
    assert commands(server, 1, seconds=0.3) == []


def test_only_what_can_be_done_is_offered(browser, server):
    page = Page(browser, server.address)
    server.hello({**HELLO, "can": ["mark"]})
    page.until(lambda: "Reset" not in page.text("#commands"))
    assert "Mark" in page.text("#commands")
    assert "Pause" not in page.text("#commands")
    page.key("r")
    assert commands(server, 1, seconds=0.3) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(browser, server, scheme):
    size = {"width": 360, "height": 700, "deviceScaleFactor": 2, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page = Page(browser, server.address)
    feed(server, range(5))
    page.shows(4)
    assert page.js("document.documentElement.scrollWidth") == 360
    assert page.js("document.getElementById('chart').width") > 2 * 280
    grounds = [
        rgb(page.js(f"getComputedStyle(document.querySelector('{of}')).backgroundColor"))
        for of in ("body", "section")
    ]
    for name in ("ink", "soft", "blue", "orange", "red"):
        page.js("document.getElementById('said').style.color = `var(--${arguments[0]})`", name)
        colour = rgb(page.js("getComputedStyle(document.getElementById('said')).color"))
        for ground in grounds:
            assert contrast(colour, ground) >= 4.5, (name, ground)  # WCAG 2.2, 1.4.3
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def rgb(css):
    return [int(x) for x in css.removeprefix("rgb(").removesuffix(")").split(",")]


def contrast(one, other):
    def luminance(colour):
        c = np.array(colour) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_nobody_is_alarmed_about_what_nobody_expects(browser, server):
    server.hello({**HELLO, "sources": ["audio"]})
    page = Page(browser, server.address)
    feed(server, range(80), face=False)
    page.shows(79)
    assert page.alerts == ""


def test_landmarks_are_shown_only_if_they_are_sent(browser, server):
    page = Page(browser, server.address)
    feed(server, range(5))
    page.shows(4)
    shown = "!document.getElementById('preview').hidden"
    painted = """(canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const there = (x, y) => data[4 * (Math.round(y * canvas.height) * canvas.width
                                          + Math.round(x * canvas.width)) + 3] > 0;
        return [there(0.25, 0.5), there(0.75, 0.5), Math.round(100 * canvas.width / canvas.height)];
    })(document.getElementById("landmarks"))"""
    assert not page.js(shown)
    server.preview(np.array([[0.25, 0.5], [0.5, 0.25]], np.float32), 1.6)
    page.until(lambda: page.js(shown) and page.js(painted)[0])
    assert page.js(painted)[1] is False
    assert page.js(painted)[2] == pytest.approx(160, abs=2)
    server.preview(None, 1.6)
    page.until(lambda: not page.js(painted)[0])
