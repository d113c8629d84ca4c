"""The page in a real browser: alerts, commands and layout."""

import time

import numpy as np
import pytest

from tests.support.browser import Page
from tests.support.served import feed, observed, wait_until

pytestmark = pytest.mark.live


def commands(run, n):
    """The first `n` commands; there are no more within a tenth of a second."""
    wait_until(lambda: len(run.commands) >= n)
    time.sleep(0.1)
    commands, run.commands = run.commands, []
    assert len(commands) == n
    return commands


def test_chart_moves_once_a_second_with_reduced_motion(browser, server, run):
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page = Page(browser, server.address + "#measure")
    feed(server, range(25))
    page.shows(24)
    page.js("performance.clearMarks()")
    feed(server, range(25, 75), every=0.02)
    page.shows(74)
    assert page.js("performance.getEntriesByName('drawn').length") > 25  # a number for each estimate
    assert page.js("performance.getEntriesByName('frame').length") == 2
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_alerts(browser, server, run):
    page = Page(browser, server.address)
    feed(server, range(5))
    page.until(lambda: page.alerts == "")
    feed(server, range(5, 80), face=False)
    page.until(lambda: page.alerts == "▲ No face detected")
    run.state["devices"][0]["state"] = "lost"
    feed(server, range(80, 85), face=False)
    page.until(lambda: page.alerts == "✕ Camera lost")  # the face is missing because of it
    run.state["devices"][0]["state"] = "open"
    feed(server, range(85, 90))
    page.until(lambda: page.alerts == "")
    page.until(lambda: page.alerts == "▲ No estimates")
    run.state["paused"] = True
    feed(server, [90])
    page.until(lambda: page.alerts == "‖ Paused")


def test_a_calibration_is_counted_and_the_profile_named(browser, server, run):
    page = Page(browser, server.address)
    run.state["calibrating"] = 23.4
    feed(server, range(5))
    page.until(lambda: page.text("#calibrated") == "stay neutral: 23 of 60 s")
    run.state |= {"calibrating": None, "profile": "anna"}
    feed(server, range(5, 10))
    page.until(lambda: page.text("#calibrated") == "profile: anna")


def test_recording_is_shown_in_red(browser, server, run):
    page = Page(browser, server.address)
    assert page.js("document.getElementById('recording').hidden")
    observed(server, recording="sessions/anna", media_kept=True)
    page.until(lambda: page.text("#recording") == "● recording to sessions/anna; video and audio are kept")
    red, green, blue = rgb(page.js("getComputedStyle(document.getElementById('recording')).color"))
    assert red > 2 * max(green, blue)


def test_limits_of_the_bundle_are_always_visible(browser, server, run):
    page = Page(browser, server.address)
    page.until(lambda: page.text("#bundle") == "B 01234567 · trained on: no data · any use")
    page.js("window.scrollTo(0, 0)")
    assert page.js("document.getElementById('bundle').getBoundingClientRect().bottom <= innerHeight")


def test_commands_by_keyboard(browser, server, run):
    page = Page(browser, server.address)
    page.until(lambda: "Reset" in page.text("#commands"))  # it knows what the run can do
    for key in "mrcp":
        page.key(key)
    assert commands(run, 4) == [("mark", "mark"), ("reset", ""), ("calibrate", ""), ("pause", "")]
    run.state["paused"] = True
    feed(server, [0])
    page.until(lambda: page.text("#pause").startswith("Resume"))
    page.key("p")
    assert commands(run, 1) == [("resume", "")]
    page.key("prompt m\n", "#label")  # letters of a label are no commands
    assert commands(run, 1) == [("mark", "prompt m")]
    server.mark(75.2, "prompt m")
    page.until(lambda: page.text("#message") == "Marked 1:15 prompt m")
    page.js("document.getElementById('keys').click()")
    page.key("m")
    assert commands(run, 0) == []


def test_only_possible_commands_are_shown(browser, server):
    page = Page(browser, server.address)
    run = observed(server, can=["mark"])
    page.until(lambda: "Reset" not in page.text("#commands"))
    assert "Mark" in page.text("#commands")
    assert "Pause" not in page.text("#commands")
    page.key("r")
    assert commands(run, 0) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone_with_sufficient_contrast(browser, server, run, scheme):
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
        page.js("document.getElementById('message').style.color = `var(--${arguments[0]})`", name)
        colour = rgb(page.js("getComputedStyle(document.getElementById('message')).color"))
        for ground in grounds:
            assert contrast(colour, ground) >= 4.5, (name, ground)  # WCAG 2.2, 1.4.3
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_no_alert_for_a_modality_without_a_source(browser, server):
    observed(server, sources=["audio"])
    page = Page(browser, server.address)
    feed(server, range(80), face=False)
    page.shows(79)
    assert page.alerts == ""


def test_landmarks_are_shown_only_if_sent(browser, server, run):
    page = Page(browser, server.address)
    feed(server, range(5))
    page.shows(4)
    shown = "!document.getElementById('preview').hidden"
    painted = """(canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const painted = (x, y) => data[4 * (Math.round(y * canvas.height) * canvas.width
                                          + Math.round(x * canvas.width)) + 3] > 0;
        return [painted(0.25, 0.5), painted(0.75, 0.5), Math.round(100 * canvas.width / canvas.height)];
    })(document.getElementById("landmarks"))"""
    assert not page.js(shown)
    run.shown = np.array([[0.25, 0.5], [0.5, 0.25]], np.float32), {}, 1.6
    feed(server, [5])
    page.until(lambda: page.js(shown) and page.js(painted)[0])
    assert page.js(painted)[1] is False
    assert page.js(painted)[2] == pytest.approx(160, abs=2)
    run.shown = None, {}, 1.6
    feed(server, [6])
    page.until(lambda: not page.js(painted)[0])


def rgb(css):
    return [int(x) for x in css.removeprefix("rgb(").removesuffix(")").split(",")]


def contrast(one, other):
    def luminance(colour):
        c = np.array(colour) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
