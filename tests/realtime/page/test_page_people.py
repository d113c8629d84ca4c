"""Several people on the page and in its endpoints, and the choice of the one who is followed."""

import json

import msgspec
import numpy as np
import pytest

from enrapt.realtime.page.latest import PEOPLE, RECENT, Latest
from enrapt.realtime.page.messages import Command, command, landmarks_of
from tests.support.browser import Page
from tests.support.served import RATE, observed, receive, request, settle, varying, wait_until, websocket

pytestmark = pytest.mark.live


def of(person: int | None, k: int, mean: float, faces: int = 2):
    estimate, observation = varying(k, mean=mean)
    return msgspec.structs.replace(estimate, person=person, faces=faces, box=(0, 0, 1, 1)), observation


def write(server, ticks, people=((1, 0.25), (2, 0.75))):
    """At each tick an estimate of each of these people, with that mean."""
    for k in ticks:
        for person, mean in people:
            server.write(*of(person, k, mean))
    settle(server)


def got(server, path):
    status, _, content = request(server, path)
    return status, json.loads(content)


def test_endpoints_give_the_followed_person_or_the_one_that_is_asked_for(server):
    run = observed(server, people=2)
    run.person = 2
    write(server, range(5))
    for query, mean in (("", 0.75), ("?person=2", 0.75), ("?person=1", 0.25)):
        assert got(server, "/estimate" + query)[1]["engagement"]["mean"] == mean
        history = got(server, "/history" + query)[1]
        assert (history["mean"], history["t"]) == ([mean] * 5, [k / RATE for k in range(5)])
    for query in ("3", "-1", "x", "", "9" * 9999, "²"):
        assert (
            got(server, f"/estimate?person={query}" if query != "²" else "/history?person=%C2%B2")[0] == 404
        )
    assert got(server, "/health")[1]["ticks"] == 5
    metrics = request(server, "/metrics")[2].decode()
    assert 'enrapt_engagement_mean{person="1"} 0.25' in metrics
    assert 'enrapt_present{person="2",modality="face"} 1.0' in metrics


def test_people_in_turn_of_a_run_that_follows_one_have_one_history(server):
    run = observed(server)
    write(server, range(3), [(1, 0.25)])
    run.person = 2
    write(server, range(3, 6), [(2, 0.75)])
    assert got(server, "/history")[1]["mean"] == [0.25] * 3 + [0.75] * 3
    assert got(server, "/estimate?person=2")[0] == 200
    assert got(server, "/estimate?person=1")[0] == 404
    assert "person=" not in request(server, "/metrics")[2].decode()


def test_the_people_are_sent_to_a_client_that_comes_and_when_they_change(server):
    run = observed(server, people=2)
    write(server, [0], [(None, 0.5)])
    write(server, [1], [(1, 0.25)])
    with websocket(server, "/page") as client:
        assert receive(client, "people") == {"type": "people", "ids": [1], "followed": 1}
        write(server, range(2, 4))
        assert receive(client, "people")["ids"] == [1, 2]
        run.person = 2
        write(server, range(4, 6))
        assert receive(client, "people")["followed"] == 2


def test_people_who_are_gone_are_forgotten():
    latest = Latest()
    latest.several = True
    for k in range(50):
        latest.add(of(k + 1, k, 0.5)[0], "")
    assert latest.people["ids"] == list(range(51 - PEOPLE, 51))
    latest.add(of(99, round((RECENT + 10) * RATE), 0.5)[0], "")
    assert latest.people == {"ids": [99], "followed": 99}
    latest.whole = True
    latest.add(of(100, round(1000 * RATE), 0.5)[0], "")
    assert latest.people["ids"] == [99, 100]


@pytest.mark.parametrize("text", ['{"do":"follow","person":1}', '{"do":"follow","person":1000000}'])
def test_a_command_to_follow_has_a_person(text):
    assert command.decode(text) == Command(**json.loads(text))


@pytest.mark.parametrize("person", ["", ',"person":0', ',"person":1000001', ',"person":1.5', ',"person":"1"'])
def test_other_commands_to_follow_are_none(person):
    with pytest.raises(msgspec.MsgspecError):
        command.decode(f'{{"do":"follow"{person}}}')
    with pytest.raises(msgspec.MsgspecError):
        command.decode('{"do":"reset","person":1}')


def test_follow_is_ignored_where_the_source_does_not_choose(server):
    run = observed(server, can=["mark"])
    with websocket(server, "/page") as client:
        client.send('{"do":"follow","person":2}')
        client.send('{"do":"mark","label":"after"}')
        wait_until(lambda: len(run.commands) > 0)
    assert run.commands == [("mark", "after")]


def face(left: float) -> np.ndarray:
    """Landmarks of a face from there on, a fifth of the picture wide."""
    return np.array([[left + x, 0.4 + y] for x in (0, 0.1, 0.2) for y in (0, 0.1, 0.2)], np.float32)


def test_landmarks_have_their_person():
    assert landmarks_of((None, {3: np.array([[0.5, 0.25]], np.float32)}, 4 / 3), 1) == {
        "person": 1,
        "points": None,
        "others": [{"person": 3, "points": [500, 250]}],
        "aspect": 1.333,
    }


def click(page, x, y):
    page.js(
        """(canvas => canvas.dispatchEvent(new MouseEvent("click", {
            clientX: canvas.getBoundingClientRect().left + arguments[0] * canvas.clientWidth,
            clientY: canvas.getBoundingClientRect().top + arguments[1] * canvas.clientHeight})))
            (document.getElementById("landmarks"))""",
        x,
        y,
    )


def test_a_person_is_followed_by_a_click_or_a_key(browser, server):
    run = observed(server)
    run.shown, run.person = (face(0.1), {2: face(0.6)}, 1.6), 1
    page = Page(browser, server.address)
    page.until(lambda: "Reset" in page.text("#commands"))
    write(server, range(3), [(1, 0.5)])
    page.until(lambda: page.data("#landmarks").get("people") == "2 1")
    page.until(lambda: page.text("#who") == "person 1 · 2 faces in view")
    click(page, 0.5, 0.1)  # nobody is there
    click(page, 0.7, 0.5)
    wait_until(lambda: run.commands == [("follow", "2")])
    page.key("1")
    page.key("7")  # nobody
    page.until(lambda: page.text("#message") == "Person 7 is not in view")
    page.key("2")
    wait_until(lambda: len(run.commands) == 3)
    assert run.commands == [("follow", "2"), ("follow", "1"), ("follow", "2")]
    page.key("12", "#label")
    page.js("document.getElementById('keys').click()")
    page.key("1")
    assert len(run.commands) == 3


def shown(page):
    people = "[...document.querySelectorAll('.person')].map(row => row.innerText.split(/\\s+/).join(' '))"
    return page.text("#mean"), page.js(people)


def test_several_people_have_a_strip_each(browser, server):
    run = observed(server, people=2)
    run.person = 1
    write(server, range(50))
    page = Page(browser, server.address)
    strips = ["person 1 1 0.25", "person 2 2 0.75"]
    page.until(lambda: shown(page) == ("0.25", strips))
    for path in ("document.getElementById('chart')", "document.querySelector('[data-person=\"2\"] canvas')"):
        page.until(
            lambda path=path: page.js(f"""(chart => {{
            const {{ data }} = chart.getContext("2d").getImageData(0, 0, chart.width, chart.height);
            for (let i = 0; i < data.length; i += 4) if (data[i + 2] > data[i] + 90) return true;
        }})({path})""")
        )
    run.person = 2
    write(server, range(50, 55))
    page.until(lambda: shown(page) == ("0.75", strips))
    page.key("1")
    page.until(lambda: page.text("#mean") == "0.25")
    assert run.commands == [("follow", "1")]
    write(server, range(55, 60), [(2, 0.75), (3, 0.5)])
    page.until(lambda: shown(page)[1][2:] == ["person 3 3 0.50"])
    assert page.driver.get_log("browser") == []
    observed(server)  # of one person
    page.until(lambda: page.js("document.getElementById('people').hidden"))


def test_of_people_who_cannot_be_followed_one_is_shown_large(browser, server):
    run = observed(server, kind="replay", people=2, can=[])
    write(server, range(50))
    page = Page(browser, server.address)
    page.until(lambda: page.text("#mean") == "0.25")
    page.js("document.querySelectorAll('.person button')[1].click()")
    page.until(lambda: page.text("#mean") == "0.75")
    write(server, range(50, 55), [(1, 0.25), (2, 0.75), (3, 0.5)])
    page.until(lambda: len(shown(page)[1]) == 3)
    page.until(lambda: page.text("#mean") == "0.75")
    page.until(lambda: page.text("#who") == "person 2 · 2 faces in view")
    assert run.commands == []
