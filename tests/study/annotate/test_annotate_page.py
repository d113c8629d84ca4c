"""The annotation page in a real browser."""

import itertools
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from enrapt.study import labels, ratings
from enrapt.study.study import new_study
from tests.support.annotated import NUMBER, RATE, Served, film, served
from tests.support.browser import Page, chromium
from tests.support.mjpeg import free_port
from tests.support.study_files import rate_turns, session

pytestmark = pytest.mark.live

START = 2.0  # s; of the film on the session's axis
LENGTH = 16.0  # s
FRAME = 1000 / 60  # ms; of the display

# Draws a value that says which picture is on the screen, as soon as there is another one. A script sees it
# as it is composed, and the display shows it in its next frame: then it is drawn. Kept are the picture,
# its value, how long the script had not looked when it saw it, when it drew, and that frame's time, ms.
DRAW = f"""
const number = {NUMBER}, scale = document.getElementById("scale"), track = document.getElementById("track");
window.drawn = [];
window.composed = {{}}; // by picture, ms: when the browser says that it was
video.requestVideoFrameCallback(function reported(_, {{ mediaTime, presentationTime }}) {{
    window.composed[Math.round(mediaTime * {RATE})] = presentationTime;
    video.requestVideoFrameCallback(reported);
}});
let last = -1, looked = 0, seen = null;
(function look(now = 0) {{
    const k = video.paused || video.currentTime < 0.3 ? last : number(video);
    if (seen && !video.paused) {{
        const [picture, unseen, displayed] = seen;
        const box = track.getBoundingClientRect();
        const clientY = box.bottom - (picture * 37 % 100) / 100 * box.height;
        const pointer = {{ pointerType: "mouse", isPrimary: true, clientY }};
        const event = new PointerEvent("pointermove", pointer);
        scale.dispatchEvent(event);
        const value = Number(scale.getAttribute("aria-valuenow"));
        window.drawn.push([picture, value, unseen, event.timeStamp, displayed]);
    }}
    seen = k === last ? null : [k, now - looked, now + 1000 / 60];
    last = k;
    looked = now;
    requestAnimationFrame(look);
}})();
"""
TOML = """
name = "Talks"
[[dimensions]]
name = "engagement"
question = "How engaged is the person?"
[[dimensions]]
name = "turns"
kind = "interval"
low = 1
high = 3
levels = ["low", "middle", "high"]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        driver.set_window_size(1200, 900)
        yield driver


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "media.mkv", LENGTH, start=START)


@pytest.fixture
def talk(tmp_path: Path, media: Path) -> Path:
    new_study(tmp_path / "talks")
    (tmp_path / "talks" / "study.toml").write_text(TOML)
    folder = session(tmp_path / "talks" / "sessions" / "anna")
    (folder / "media.mkv").write_bytes(media.read_bytes())
    return folder


@pytest.fixture
def server(talk: Path) -> Iterator[Served]:
    with served(str(talk), "--rater", "E1", port=free_port()) as one:
        yield one


class Rating(Page):
    """The annotation page, loaded."""

    def __init__(self, driver: Any, address: str) -> None:
        super().__init__(driver, address)
        self.ready()

    def ready(self) -> None:
        self.until(lambda: self.js("document.documentElement.dataset.ready"))
        self.until(lambda: self.js("document.getElementById('video').readyState") >= 3)

    @property
    def time(self) -> float:
        return float(self.js("document.getElementById('video').currentTime")) + START

    def at(self, time: float) -> None:
        """Go there, and look."""
        self.js("document.getElementById('video').currentTime = arguments[0]", time - START)
        self.until(lambda: not self.js("document.getElementById('video').seeking"))
        self.until(lambda: abs(self.time - time) < 0.05)

    def stored(self) -> None:
        """Until all is stored."""
        self.until(lambda: self.text("#saved").startswith("stored"))
        time.sleep(1.3)
        self.until(lambda: self.text("#saved").startswith("stored"))


def trace(talk: Path) -> ratings.Trace:
    label = labels.read(talk / "labels" / "engagement.E1.csv")
    assert isinstance(label, ratings.Trace)
    return label


def errors(drawn: list[list[float]], label: ratings.Trace, composed: dict[float, float]) -> np.ndarray:
    """By how many ms each picture's value was stored after the time at which it was drawn, which follows from
    the picture's; and how long the drawing script had not looked when it saw the picture, ms.

    Args:
        composed: by picture, ms; the display shows it a frame later. A picture that is not in it was composed
            when the script saw it, which is late by a frame now and then.
    """
    found = []
    for (k, value, unseen, stamp, displayed), (_, then, *_) in itertools.pairwise(drawn):
        if value == then:
            continue
        at = START + k / RATE + (stamp - composed.get(k, displayed - FRAME) - FRAME) / 1000
        times = label.times[(label.values == value) & (np.abs(label.times - at) < 0.5)]
        if len(times):
            found.append((1000 * (times - at)[np.abs(times - at).argmin()], unseen))
    return np.array(found)


def test_what_is_drawn_is_stored_at_the_time_of_the_picture(browser, server, talk, capsys):
    page = Rating(browser, server.address)
    page.driver.execute_script(DRAW)
    page.driver.find_element("css selector", "#play").click()
    page.until(lambda: page.js("document.getElementById('video').ended"), LENGTH + 20)
    page.stored()
    drawn = page.js("window.drawn")
    composed = {int(k): ms for k, ms in page.js("window.composed").items()}
    late, _ = errors(drawn, trace(talk), composed).T
    seen, unseen = errors(drawn, trace(talk), {}).T
    at_once = seen[unseen < 20]  # the others are of a busy browser: when it showed the picture is not known
    with capsys.disabled():
        for which, some in (
            ("by the browser's times of pictures", late),
            ("by the script's looks, when it looked at every frame", at_once),
        ):
            ms = np.abs(some)
            print(
                f"\n{which}: {len(ms)} of {len(drawn)}; from what was drawn: "
                f"median {np.median(ms):.1f} ms, 95 % {np.quantile(ms, 0.95):.1f} ms, "
                f"worst {ms.max():.1f} ms"
            )
    assert len(late) > 0.9 * len(drawn) > 200
    for some in (late, at_once):
        assert np.median(np.abs(some)) < 5
        assert np.quantile(np.abs(some), 0.95) < 40  # two of the display's frames; the machine may be busy
    assert trace(talk).times[-1] == pytest.approx(START + LENGTH, abs=0.1)
    assert not page.alerts
    assert [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert server.end() == 0
    assert "engagement.E1.csv: 9" in server.said  # % rated


def draw_for(page: Rating, seconds: float) -> float:
    """Draw from where it is; gives the media's time at the end, still playing."""
    begin = page.time
    page.driver.execute_script(DRAW)
    page.key(" ")
    page.until(lambda: page.time > begin + seconds, seconds + 20)
    return page.time


def test_a_reload_loses_nothing_that_matters(browser, server, talk):
    page = Rating(browser, server.address)
    at = draw_for(page, 3.0)
    page.driver.refresh()
    page.ready()
    assert trace(talk).times[-1] > at - 0.5
    page.until(lambda: "% rated" in page.text("#rated") and page.text("#rated") != "0 % rated")


def test_a_killed_server_loses_two_seconds_at_most_and_the_page_stores_the_rest(browser, talk):
    port = free_port()
    with served(str(talk), "--rater", "E1", port=port) as server:
        page = Rating(browser, server.address)
        at = draw_for(page, 4.0)
        server.end(signal.SIGKILL)
        assert trace(talk).times[-1] > at - 2.0
        page.until(lambda: "No connection" in page.alerts)
        assert page.js("document.getElementById('video').paused")
        drawn = page.js("window.drawn")
    with served(str(talk), "--rater", "E1", port=port):
        page.until(lambda: not page.alerts, 20)
        page.stored()
        last = max(k for k, *_ in drawn)
        assert trace(talk).times[-1] > START + last / RATE - 0.1
        page.key(" ")  # and goes on
        page.until(lambda: page.time > START + last / RATE + 0.5, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="no limits of other processes")
def test_a_full_disk_is_shown_and_nothing_stored_is_lost(browser, server, talk):
    import resource

    page = Rating(browser, server.address)
    draw_for(page, 2.0)
    page.key(" ")
    page.stored()
    before = trace(talk)
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100, limits[1]))
    page.key(" ")
    page.until(lambda: "cannot be written" in page.alerts)
    page.until(lambda: page.text("#saved") == "not stored")
    assert page.js("document.getElementById('video').paused")
    assert "not stored: " in server.said
    assert trace(talk).times.tolist() == before.times.tolist()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
    page.until(lambda: not page.alerts)
    page.stored()
    assert trace(talk).times[-1] > before.times[-1]
    assert "stored again" in server.said


def test_keys_draw_overwrite_undo_and_leave_out(browser, server, talk):
    page = Rating(browser, server.address)
    page.key("9")
    page.key(" ")
    page.until(lambda: page.time > START + 2)
    page.key("1")
    page.until(lambda: page.time > START + 3)
    page.key("x")
    page.until(lambda: page.time > START + 4)
    page.key(" ")
    page.stored()
    first = trace(talk)
    assert first.values[~np.isnan(first.values)].tolist() == [1.0, 0.0]
    assert np.isnan(first.values[-1])
    page.at(START + 1)
    page.key("5")
    page.key(" ")
    page.until(lambda: page.time > START + 1.5)
    page.key(" ")
    page.stored()
    second = trace(talk)
    assert second.at([START + 0.5, START + 1.2, START + 1.9]).tolist()[:2] == [1.0, 0.5]
    assert (talk / "labels" / "earlier" / "engagement.E1.1.csv").is_file()
    page.key("z")
    page.stored()
    assert trace(talk).times.tolist() == first.times.tolist()
    page.key("z")
    page.stored()
    assert len(trace(talk).times) == 0
    page.key("y")
    page.stored()
    assert trace(talk).times.tolist() == first.times.tolist()
    page.key("r")
    page.at(START)
    page.key(" ")
    page.until(lambda: page.time > START + 1)
    page.key(" ")
    page.stored()
    assert trace(talk).times.tolist() == first.times.tolist()  # watching changes nothing


def test_wheel_touch_and_gamepad_give_values(browser, server, talk):
    page = Rating(browser, server.address)
    page.key("5")
    page.driver.execute_script(
        """const wheel = { bubbles: true, cancelable: true, deltaY: -100 };
        document.getElementById("film").dispatchEvent(new WheelEvent("wheel", wheel));"""
    )
    value = "Number(document.getElementById('scale').getAttribute('aria-valuenow'))"
    assert page.js(value) == pytest.approx(0.52)
    touch = """const box = track.getBoundingClientRect(), clientY = box.top + box.height / 4;
        const pointer = { pointerType: "touch", isPrimary: true, buttons: arguments[0], clientY };
        scale.dispatchEvent(new PointerEvent("pointermove", pointer));"""
    page.driver.execute_script(touch, 0)  # no finger is down
    assert page.js(value) == pytest.approx(0.52)
    page.driver.execute_script(touch, 1)
    assert page.js(value) == pytest.approx(0.75, abs=0.01)
    page.driver.execute_script(
        """navigator.getGamepads = () => [{ connected: true, axes: [0, 1], buttons: [{ pressed: true }] }];"""
    )
    page.until(lambda: page.js(value) == 0)  # pulled down, it goes on
    page.until(lambda: page.time > START + 0.5)  # its button plays


def test_practice_is_not_stored(browser, server, talk):
    page = Rating(browser, server.address)
    page.driver.find_element("css selector", "#practice").click()
    page.key("9")
    page.until(lambda: page.time > START + 1.5)
    assert "nothing is stored" in page.alerts
    page.driver.find_element("css selector", "#practice").click()
    time.sleep(1.5)
    assert not (talk / "labels").exists()
    page.until(lambda: page.text("#rated") == "0 % rated")


def test_intervals_are_marked_and_rated(browser, server, talk):
    page = Rating(browser, server.address)
    page.key("d")
    page.until(lambda: page.js("document.getElementById('dimension').value") == "turns")
    for start, end, digit in ((1.0, 3.0, "3"), (4.0, 6.0, "1")):
        page.at(START + start)
        page.key("s")
        page.at(START + end)
        page.key(digit)
    page.at(START + 5.0)
    page.key("2")  # rated again
    page.stored()
    label = labels.read(talk / "labels" / "turns.E1.csv")
    assert isinstance(label, ratings.Intervals)
    assert label.value.tolist() == [3.0, 2.0]
    assert np.allclose(label.start, [START + 1, START + 4], atol=0.05)
    assert np.allclose(label.end, [START + 3, START + 6], atol=0.05)


def test_given_intervals_are_rated_one_after_the_other(browser, talk):
    given = rate_turns(talk, "E9", [(3.0, 4.0, 1.0), (6.0, 7.0, 1.0)], "turns")
    arguments = [str(talk), "--rater", "E1", "--dimension", "turns", "--intervals", str(given)]
    with served(*arguments, port=free_port()) as server:
        page = Rating(browser, server.address)
        page.key("n")
        page.until(lambda: abs(page.time - 3.0) < 0.05)
        page.key(" ")
        page.until(lambda: page.time > 3.9 and page.js("document.getElementById('video').paused"))
        page.key("3")
        page.until(lambda: abs(page.time - 6.0) < 0.1)
        page.key("2")
        page.until(lambda: page.text("#rated") == "2 of 2 intervals rated")
        page.stored()
    label = labels.read(talk / "labels" / "turns.E1.csv")
    assert label.start.tolist() == [3.0, 6.0]
    assert label.end.tolist() == [4.0, 7.0]
    assert label.value.tolist() == [3.0, 2.0]
    assert labels.read(given).value.tolist() == [1.0, 1.0]
