"""The page says why a modality is missing."""

import pytest

from tests.support.browser import Page
from tests.support.served import feed

pytestmark = pytest.mark.live

LATE = "arrives 640 ms late; try --max-wait 700"


def test_the_reason_is_beside_the_modality_while_it_holds(browser, server, run):
    page = Page(browser, server.address)
    run.state["missing"] = {"audio": LATE, "face": "<b>no face found</b>"}
    feed(server, [0])
    page.until(lambda: LATE in page.text("#reasons"))
    page.until(
        lambda: page.text("#reasons").splitlines() == [f"audio: {LATE}", "face: <b>no face found</b>"]
    )  # only text
    page.until(lambda: "No face detected" in page.alerts)  # though it is present at this tick
    assert "No sound" in page.alerts
    run.state["missing"] = {}
    feed(server, [1])
    page.until(lambda: not page.text("#reasons"))
    page.until(lambda: "No face detected" not in page.alerts)


def test_a_server_that_gives_no_reasons(browser, server, run):
    page = Page(browser, server.address)
    feed(server, [0])
    page.shows(0)
    page.until(lambda: page.text("#reasons") == "")
    assert page.driver.get_log("browser") == []
