"""The page of ratings of whole sessions in a real browser, and the way from session to session."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enrapt.study import labels
from enrapt.study.study import new_study
from tests.support.annotated import Served, film, served
from tests.support.browser import Page, chromium
from tests.support.mjpeg import free_port
from tests.support.study_files import session

pytestmark = pytest.mark.live

TOML = """
name = "Talks"
[[dimensions]]
name = "rapport"
kind = "session"
low = 1
high = 5
question = "How good was the rapport?"
[[dimensions]]
name = "mood"
kind = "session"
levels = ["bad", "middling", "good"]
low = -1
[[dimensions]]
name = "ease"
kind = "session"
"""
PEOPLE = ("anna", "ben", "cem")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        driver.set_window_size(1200, 900)
        yield driver


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "media.mkv", 6.0)


@pytest.fixture
def talks(tmp_path: Path, media: Path) -> Path:
    new_study(tmp_path / "talks")
    (tmp_path / "talks" / "study.toml").write_text(TOML)
    for person in PEOPLE:
        folder = session(tmp_path / "talks" / "sessions" / person, 6.0)
        (folder / "media.mkv").write_bytes(media.read_bytes())
    return tmp_path / "talks"


@pytest.fixture
def server(talks: Path) -> Iterator[Served]:
    with served(str(talks / "sessions" / "anna"), "--rater", "E1", port=free_port()) as one:
        yield one


class Asking(Page):
    """The page, loaded."""

    def __init__(self, driver: Any, address: str) -> None:
        super().__init__(driver, address)
        self.ready()

    def ready(self) -> None:
        self.until(lambda: self.js("document.documentElement.dataset.ready"))
        self.until(lambda: self.js("document.getElementById('video').readyState") >= 3)

    def click(self, css: str) -> None:
        self.driver.find_element("css selector", css).click()

    def stored(self) -> None:
        self.until(lambda: self.text("#saved").startswith("stored"))

    def checked(self, name: str) -> str | None:
        found: str | None = self.js(f"document.querySelector('[name={name}]:checked')?.value")
        return found


def value(talks: Path, name: str, rater: str = "E1", person: str = "anna") -> float | None:
    path = talks / "sessions" / person / "labels" / f"{name}.{rater}.csv"
    return float(labels.read(path).value[0]) if path.exists() else None


def test_each_question_is_answered_once_for_the_session(browser, server, talks):
    page = Asking(browser, server.address)
    page.until(lambda: page.text("#rated") == "0 of 3 questions answered")
    assert "How good was the rapport?" in page.text("#questions")
    page.key(" ")
    page.until(lambda: page.js("document.getElementById('video').currentTime") > 0.3)
    page.click("#question-rapport label:nth-child(4)")
    page.key("3")  # the first again, which is the marked one
    page.key("3")  # and the next, by the name of a level
    slider = "document.querySelector('#question-ease input')"
    page.until(lambda: page.text("#question-ease output") == "not rated")
    page.click("#question-ease input")  # in its middle, where it stands already
    page.until(lambda: page.text("#rated") == "3 of 3 questions answered")
    page.stored()
    assert (value(talks, "rapport"), value(talks, "mood"), value(talks, "ease")) == (3.0, 1.0, 0.5)
    page.driver.find_element("css selector", "#question-ease input").send_keys("\ue014" * 3)  # arrow right
    page.until(lambda: value(talks, "ease") == 0.53)
    assert page.js(f"Number({slider}.value)") == pytest.approx(0.53)
    page.key(" ")
    page.until(lambda: page.js("document.getElementById('video').paused"))
    page.driver.refresh()
    page.ready()
    assert (page.checked("rapport"), page.checked("mood")) == ("3", "1")
    page.until(lambda: page.text("#question-ease output") == "0.53")
    assert [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert server.end() == 0
    assert "rapport.E1.csv: 3\n" in server.said


def test_undo_and_other_answers_lose_nothing(browser, server, talks):
    page = Asking(browser, server.address)
    page.key("2")
    page.until(lambda: value(talks, "rapport") == 2.0)
    page.click("#question-rapport legend")
    time.sleep(3.1)  # no slip of the hand any more
    page.key("5")
    page.until(lambda: value(talks, "rapport") == 5.0)
    earlier = talks / "sessions" / "anna" / "labels" / "earlier"
    assert (earlier / "rapport.E1.1.csv").read_text() == "value,confidence\n2.0,\n"
    page.key("z")
    page.until(lambda: value(talks, "rapport") == 2.0)
    page.key("z")
    page.until(lambda: value(talks, "rapport") is None)
    assert page.checked("rapport") is None
    page.until(lambda: page.text("#rated") == "0 of 3 questions answered")
    page.key("y")
    page.until(lambda: value(talks, "rapport") == 2.0)
    page.key("x")
    page.until(lambda: value(talks, "rapport") is None)
    page.key("z")
    page.until(lambda: value(talks, "rapport") == 2.0)
    page.stored()
    assert not page.alerts


def test_another_rater_sees_and_changes_nothing_of_the_first(browser, server, talks):
    page = Asking(browser, server.address)
    page.key("2")
    page.until(lambda: value(talks, "rapport") == 2.0)
    server.end()
    with served(str(talks / "sessions" / "anna"), "--rater", "E2", port=free_port()) as other:
        page = Asking(browser, other.address)
        assert page.checked("rapport") is None
        page.key("4")
        page.until(lambda: value(talks, "rapport", "E2") == 4.0)
    assert value(talks, "rapport") == 2.0


def test_what_is_chosen_without_a_server_is_stored_when_it_is_back(browser, talks):
    port = free_port()
    arguments = (str(talks / "sessions" / "anna"), "--rater", "E1")
    with served(*arguments, port=port) as server:
        page = Asking(browser, server.address)
        page.key("2")
        page.until(lambda: value(talks, "rapport") == 2.0)
        server.end(signal.SIGKILL)
        page.key("1")
        page.until(lambda: "No connection" in page.alerts)
        page.until(lambda: page.text("#saved") == "not stored")
    with served(*arguments[:1], "--rater", "E2", port=port):  # of another rater: not to be stored there
        page.until(lambda: "another recording or rater" in page.alerts)
        assert value(talks, "mood", "E2") is None
    with served(*arguments, port=port):
        page.until(lambda: not page.alerts, 20)
        page.until(lambda: value(talks, "mood") == -1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="no limits of other processes")
def test_a_full_disk_is_shown_and_the_old_answer_stays(browser, server, talks):
    import resource

    page = Asking(browser, server.address)
    page.key("2")
    page.until(lambda: value(talks, "rapport") == 2.0)
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (10, limits[1]))
    page.click("#question-rapport label:nth-child(4)")
    page.until(lambda: "cannot be written" in page.alerts)
    assert value(talks, "rapport") == 2.0
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
    page.until(lambda: not page.alerts)
    page.until(lambda: value(talks, "rapport") == 4.0)
    assert "stored again" in server.said


def test_next_goes_on_to_the_session_that_is_not_rated_until_all_are(browser, talks):
    for name in ("rapport", "mood", "ease"):
        path = labels.path_of(talks / "sessions" / "ben", name, "E1")
        path.parent.mkdir(exist_ok=True)
        path.write_text("value,confidence\n1.0,\n")
    session(talks / "sessions" / "dora")  # with nothing to play
    with served(str(talks), "--rater", "E1", "--next", port=free_port()) as server:
        assert "without media.mkv, passed over: dora" in server.said
        page = Asking(browser, server.address)
        page.until(lambda: page.text("#title") == "anna")
        page.until(lambda: page.text("#sessions") == "1 of 3 sessions rated")
        for key in "42":
            page.key(key)
        page.click("#question-ease input")
        page.key("n")
        page.until(lambda: page.text("#title") == "cem", 30)
        page.ready()
        page.until(lambda: page.text("#sessions") == "2 of 3 sessions rated")
        assert page.checked("rapport") is None
        assert value(talks, "mood") == 0.0
        page.key("n")
        page.until(lambda: "No other session is left" in page.alerts)
        page.key("5")
        page.until(lambda: value(talks, "rapport", person="cem") == 5.0)
        assert value(talks, "rapport") == 4.0
        assert server.end() == 0
        assert "E1 has rated 2 of 3 sessions" in server.said


def test_traces_and_questions_of_one_session_lead_to_each_other(browser, talks):
    (talks / "study.toml").write_text(TOML + '[[dimensions]]\nname = "engagement"\n')
    with served(str(talks), "--rater", "E1", "--next", port=free_port()) as server:
        page = Asking(browser, server.address)
        assert page.js("document.getElementById('scale') !== null")
        page.key("7")
        page.key(" ")
        page.until(lambda: page.js("document.getElementById('video').currentTime") > 1)
        page.key(" ")
        page.click("#other")
        page.until(lambda: page.js("document.getElementById('questions') !== null"))
        page.ready()
        page.key("4")
        page.until(lambda: value(talks, "rapport") == 4.0)
        page.click("#other")
        page.until(lambda: page.js("document.getElementById('scale') !== null"))
        page.ready()
        page.until(lambda: page.text("#rated") not in ("", "0 % rated"))
        page.click("#onward")
        page.until(lambda: page.text("#title") == "ben", 30)
        page.ready()
        page.until(lambda: page.text("#rated") == "0 % rated")
    assert labels.read(talks / "sessions" / "anna" / "labels" / "engagement.E1.csv").rated > 0.9
