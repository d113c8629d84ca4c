"""The endpoints of the annotation page."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from enrapt.study.annotate.material import Material
from enrapt.study.annotate.playable import Playable
from enrapt.study.annotate.server import AnnotationServer
from enrapt.study.annotate.stored import StoredLabels, StoredWhole
from enrapt.study.annotate.suggest import Stretch
from enrapt.study.annotate.task import Task
from enrapt.study.study import Dimension
from tests.support.full_disk import files_no_larger_than, needs_limits

MEDIA = bytes(range(256)) * 8


class Client:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, body: object = None, method: str = "GET", **headers: str):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def put(
        self,
        start: float,
        end: float,
        *segments: object,
        client: str = "c",
        stroke: str = "s",
        **headers: str,
    ):
        edit = {"client": client, "task": self.task, "stroke": stroke, "start": start, "end": end}
        status, body, _ = self.ask("labels/engagement", edit | {"segments": segments}, "PUT", **headers)
        return status, json.loads(body)

    @property
    def task(self) -> str:
        return json.loads(self.ask("task")[1])["task"]

    def rate(self, value: float | None, *, client: str = "c", stroke: str = "s", task: str | None = None):
        rating = {"client": client, "task": task or self.task, "stroke": stroke, "value": value}
        status, body, _ = self.ask("whole/rapport", rating, "PUT")
        return status, json.loads(body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "labels"


def served(tmp_path: Path, said: list[str], **options):
    film = tmp_path / "a.webm"
    film.write_bytes(MEDIA)
    material = Material("a.webm", film, None, tmp_path / "labels", False)
    played = Playable(film, "video/webm", 2.0, 20.0)
    stored = {"engagement": StoredLabels(material.folder, "E1", Dimension("engagement"), 22.0)}
    token = options.pop("token", None)
    rapport = Dimension("rapport", "session", 1.0, 5.0)
    whole = {"rapport": StoredWhole(material.folder, "E1", rapport)}
    task = Task(material, played, "E1", stored, whole, **options)
    return AnnotationServer(task, 0, token=token, warn=said.append)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(tmp_path: Path, said: list[str]):
    with served(tmp_path, said) as server:
        yield Client(server.address)


def test_media_are_served_by_ranges(client):
    status, body, headers = client.ask("media")
    assert (status, body, headers["content-type"]) == (200, MEDIA, "video/webm")
    status, body, headers = client.ask("media", Range="bytes=10-19")
    assert (status, body) == (206, MEDIA[10:20])
    assert headers["content-range"] == f"bytes 10-19/{len(MEDIA)}"
    assert client.ask("media", Range="bytes=99999-")[0] == 416


def test_a_rater_sees_no_estimate_unless_asked(client, tmp_path, said):
    task = json.loads(client.ask("task")[1])
    assert task["estimate"] is None
    assert (task["offset"], task["duration"], task["rater"]) == (2.0, 20.0, "E1")
    with served(tmp_path, said, estimate=[(0.0, 0.5, 0.4, 0.6)]) as server:
        assert json.loads(Client(server.address).ask("task")[1])["estimate"] == [[0.0, 0.5, 0.4, 0.6]]


def test_edits_are_stored_and_read_back(client, folder):
    assert client.put(2.0, 4.0, [2.0, 4.0, 0.5]) == (200, {"rated": 2.0, "stretches": []})
    assert (folder / "engagement.E1.csv").read_text() == "time,value\n2.0,0.5\n4.0,\n"
    assert json.loads(client.ask("labels/engagement?client=d")[1])["segments"] == [[2.0, 4.0, 0.5, None]]


def test_of_two_pages_the_one_opened_last_rates(client):
    client.ask("labels/engagement?client=first")
    assert client.put(2.0, 4.0, [2.0, 4.0, 0.5], client="first")[0] == 200
    client.ask("labels/engagement?client=second")
    status, body = client.put(3.0, 4.0, [3.0, 4.0, 0.5], client="first")
    assert status == 409
    assert "opened a second time" in body["error"]
    assert client.put(3.0, 4.0, [3.0, 4.0, 0.5], client="second")[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff",
     b'{"client": "c", "task": "t", "stroke": "s", "start": 0, "end": 1, "segments": [[0]]}',
     b'{"client": "c", "task": "t", "stroke": "s", "start": NaN, "end": 1, "segments": []}'],
)  # fmt: skip
def test_what_is_no_edit_is_refused(client, folder, body):
    assert client.ask("labels/engagement", body, "PUT")[0] == 422
    assert not folder.exists()


def test_ratings_that_cannot_be_are_refused(client, folder, said):
    for edit in ((2.0, 30.0), (2.0, 4.0, [2.0, 4.0, 7.0]), (4.0, 2.0)):
        assert client.put(*edit)[0] == 507
    assert not folder.exists()


@needs_limits
def test_a_full_disk_is_said_once_and_when_it_is_over(client, folder, said):
    client.put(2.0, 4.0, [2.0, 4.0, 0.5])
    before = (folder / "engagement.E1.csv").read_bytes()
    many = [[2 + k / 50, 2 + (k + 1) / 50, k / 100] for k in range(100)]
    with files_no_larger_than(100):
        for _ in range(2):
            status, body = client.put(2.0, 4.0, *many, stroke="t")
            assert status == 507
            assert "cannot be written" in body["error"]
    assert (folder / "engagement.E1.csv").read_bytes() == before
    assert client.put(2.0, 4.0, *many, stroke="t")[0] == 200
    assert len(said) == 2
    assert said[0].startswith("not stored: ")
    assert said[1] == "stored again"


def test_only_pages_of_this_server_may_ask(client, tmp_path, said):
    assert client.ask("task", Host="evil.example")[0] == 403
    assert client.put(2.0, 4.0, [2.0, 4.0, 0.5], Origin="http://evil.example")[0] == 403
    assert "default-src 'self'" in client.ask("")[2]["content-security-policy"]
    with served(tmp_path, said, token="t" * 20) as server:
        other = Client(server.address)
        assert other.ask("media")[0] == 401
        assert other.ask(f"media?token={'t' * 20}")[0] == 200


@pytest.mark.parametrize(
    "path", ["../app.py", "static/page.js", "%2e%2e/app.py", "labels/valence", "labels/..%2fx"]
)
def test_nothing_else_is_served(client, path):
    assert client.ask(path)[0] == 404


def test_the_rating_of_the_whole_session_is_stored_changed_and_removed(client, folder):
    assert json.loads(client.ask("whole?client=c")[1]) == {"rapport": None}
    assert client.rate(4) == (200, {"value": 4.0})
    path = folder / "rapport.E1.csv"
    assert path.read_text() == "value,confidence\n4.0,\n"
    assert client.rate(2, stroke="t")[0] == 200
    assert client.rate(2, stroke="t")[0] == 200  # again, as a page does that got no answer
    assert (path.read_text(), len(list(folder.glob("earlier/*")))) == ("value,confidence\n2.0,\n", 1)
    assert client.rate(None, stroke="u") == (200, {"value": None})
    assert not path.exists()
    assert (folder / "earlier" / "rapport.E1.2.csv").read_text() == "value,confidence\n2.0,\n"
    assert json.loads(client.ask("whole?client=c")[1]) == {"rapport": None}


def test_a_rating_of_the_whole_session_that_cannot_be_is_refused(client, folder):
    assert client.rate(7)[0] == 507
    assert client.ask("whole/rapport", b'{"value": 1}', "PUT")[0] == 422
    assert client.ask("whole/engagement", {}, "PUT")[0] == 404
    assert client.ask("labels/rapport", {}, "PUT")[0] == 404
    client.ask("whole?client=d")
    assert client.rate(3)[0] == 409
    assert not folder.exists()


def test_a_page_of_another_recording_stores_nothing(client, folder, tmp_path, said):
    """As one that was left open when another `enrapt annotate` was started on the same port."""
    assert client.rate(3, task="0" * 16)[0] == 409
    status, body, _ = client.ask(
        "labels/engagement",
        {"client": "c", "task": "x", "stroke": "s", "start": 2, "end": 3, "segments": [[2, 3, 0.5]]},
        "PUT",
    )
    assert status == 409
    assert "another recording or rater" in json.loads(body)["error"]
    assert not folder.exists()


def test_without_a_study_there_is_no_next_session(client):
    assert client.ask("next", {"client": "c", "task": client.task}, "POST")[0] == 404
    assert client.ask("next", method="POST")[0] == 422
    assert json.loads(client.ask("task")[1])["sessions"] is None


def test_stretches_that_are_rated_are_not_offered_any_more(tmp_path, said):
    with served(tmp_path, said, stretches=[Stretch(3, 5, "unsure"), Stretch(8, 12, "surprised")]) as server:
        client = Client(server.address)
        first = json.loads(client.ask("labels/engagement?client=c")[1])["stretches"]
        assert [s["start"] for s in first] == [8, 3]
        _, body = client.put(7.0, 12.0, [7.0, 12.0, 0.5])
        assert [s["start"] for s in body["stretches"]] == [3]
