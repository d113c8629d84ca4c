"""The model's state is of one person: it is reset, once, where another one is followed."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.controls import RESET, Controls
from enrapt.realtime.run import Run
from enrapt.realtime.sources import media
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.streams.samples import Frame, Observation, View
from tests.support.faces import FRAME, FacesFrom

BOX = (0.25, 0.125, 0.5, 0.5)


class Controlled(Controls):
    """Stands for a `Run`; notes its resets and marks."""

    rate = 25

    def __init__(self) -> None:
        super().__init__()
        self.source = LiveSource([])
        self.notes: list[tuple[int, str]] = []
        self.resets = 0

    def note(self, time: int, label: str) -> None:
        self.notes.append((time, label))

    def forget(self) -> None:
        self.resets += 1

    def adapt(self, ticks: object) -> None: ...


def observation(tick: int, person: int | None, there: bool = True) -> Observation:
    view = View(1, person) if there else None
    return Observation(tick, tick * FRAME, {"face": None}, {"face": None}, view=view)


def meetings(run: Controlled, people: list[int | None]) -> list[int]:
    """Ticks at which the model was reset."""
    at = []
    for tick, person in enumerate(people):
        before = run.resets
        run.observation = observation(tick, person)
        run.apply_marks(tick * FRAME)
        run.apply_controls()
        run.meet(run.observation)
        assert run.resets - before <= 1
        at += [tick] * (run.resets - before)
    return at


@given(st.lists(st.one_of(st.none(), st.integers(1, 3)), max_size=30))
def test_it_is_reset_once_at_each_change_and_never_else(people):
    run = Controlled()
    known = [(tick, person) for tick, person in enumerate(people) if person is not None]
    changes = [tick for (_, before), (tick, person) in pairwise(known) if person != before]
    assert meetings(run, people) == changes
    assert run.notes == [(tick * FRAME, RESET) for tick in changes]


def test_a_tick_without_a_picture_says_nothing_about_the_person():
    run = Controlled()
    for tick, (person, there) in enumerate([(1, True), (2, False), (1, True), (2, True)]):
        run.meet(observation(tick, person, there))
    assert run.notes == [(3 * FRAME, RESET)]


def test_a_reset_by_hand_at_the_same_tick_is_the_only_one():
    run = Controlled()
    assert meetings(run, [1, 1]) == []
    run.reset()
    assert meetings(run, [2, 2]) == [0]


def test_a_mark_of_the_source_at_the_same_tick_is_the_only_one():
    run = Controlled()
    run.source.marks = [(2 * FRAME, RESET)]
    assert meetings(run, [1, 1, 2, 2]) == [2]
    assert run.notes == [(2 * FRAME, RESET)]


class People:
    """Stands for `FaceFeatures`: of each picture, the followed person, or None where that one is missing."""

    landmarks = None

    def __init__(self, people: list[int | None]) -> None:
        self.people, self.asked = people, []
        self.k = 0
        self.last: int | None = None

    def extract(self, picture, at) -> tuple[np.ndarray | None, View]:
        person = self.people[self.k]
        self.k += 1
        if person is None:
            return None, View(1, self.last)
        self.last = person
        if person == 3:
            return None, View(2, 3, BOX, 0.0, "too dark")
        return np.full(FACE.dim, person / 10, np.float32), View(2, person, BOX, 0.75)

    def follow(self, person: int) -> None:
        self.asked.append(person)

    def close(self) -> None:
        pass


PEOPLE = [1] * 8 + [None] * 3 + [1] * 2 + [2] * 6 + [None] * 2 + [3] * 3 + [1] * 4
CHANGES = [13, 21, 24]


@pytest.fixture
def source(scripted, monkeypatch):
    frames = [Frame(k * FRAME, np.zeros((2, 2, 3), np.uint8)) for k in range(len(PEOPLE))]
    monkeypatch.setattr(media, "Recording", lambda *arguments: scripted(frames, audio=None))
    return lambda: MediaSource(Path("scripted.mp4"), faces=FacesFrom(extractor=People(PEOPLE)))


def replayed(run: Run) -> list[object]:
    with run:
        return [estimate.without_timing() for estimate in run]


def test_a_run_begins_anew_with_each_person(source, tiny_bundle):
    estimates = replayed(Run(source(), tiny_bundle))
    since = [round(1000 * e.engagement.std) for e in estimates]  # ticks since the reset
    begins = [0, *CHANGES, len(PEOPLE)]
    assert since == [1 + k for begin, end in pairwise(begins) for k in range(end - begin)]


def test_estimates_say_who_is_there(source, tiny_bundle):
    estimates = replayed(Run(source(), tiny_bundle))
    followed, missing, dark = estimates[0], estimates[19], estimates[21]
    assert (followed.faces, followed.person, followed.box) == (2, 1, BOX)
    assert (followed.face_quality, followed.face_problem) == (0.75, None)
    assert (missing.faces, missing.person, missing.box, missing.face_quality) == (1, 2, None, None)
    assert not missing.present["face"]
    assert (dark.person, dark.face_quality, dark.face_problem) == (3, 0.0, "too dark")
    assert not dark.present["face"]


def test_a_recorded_session_replays_alike_with_each_reset_once(source, tiny_bundle, tmp_path):
    estimates = replayed(Run(source(), tiny_bundle, record=tmp_path / "first"))
    marks = list(SessionReader(tmp_path / "first").marks())
    assert marks == [(tick * FRAME, RESET) for tick in CHANGES]
    assert [e.without_timing() for e in SessionReader(tmp_path / "first").estimates()] == estimates
    for name, again in (("first", "second"), ("second", "third")):
        replay = Run(SessionSource(tmp_path / name), tiny_bundle, record=tmp_path / again)
        assert replayed(replay) == estimates
        assert list(SessionReader(tmp_path / again).marks()) == marks


def test_follow_reaches_the_extractor_and_is_marked(scripted, tiny_bundle, monkeypatch, tmp_path):
    frames = [Frame(k * FRAME, np.zeros((2, 2, 3), np.uint8)) for k in range(10)]
    monkeypatch.setattr(media, "Recording", lambda *arguments: scripted(frames, audio=None))
    people = People([1] * 10)
    source = MediaSource(Path("scripted.mp4"), faces=FacesFrom(extractor=people))
    with Run(source, tiny_bundle, record=tmp_path / "session") as run:
        for estimate in run:
            if estimate.tick == 4:
                run.follow(2)
    assert people.asked == [2]
    ((time, label),) = SessionReader(tmp_path / "session").marks()
    assert label == "follow person 2"
    assert 4 * FRAME <= time <= 5 * FRAME


def test_where_nobody_can_be_chosen_follow_says_so(tiny_bundle, source, tmp_path):
    replayed(Run(source(), tiny_bundle, record=tmp_path / "session"))
    run = Run(SessionSource(tmp_path / "session"), tiny_bundle)
    with run, pytest.raises(UserError, match="no choice of people"):
        run.follow(2)


def test_json_and_table_have_the_same(source, tiny_bundle, tmp_path):
    outputs = [f"jsonl:{tmp_path / 'e.jsonl'}", f"csv:{tmp_path / 'e.csv'}"]
    replayed(Run(source(), tiny_bundle, to=outputs))
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "tick" in line]
    header, *rows = [line.split(",") for line in (tmp_path / "e.csv").read_text().splitlines()]
    assert len(lines) == len(rows) == len(PEOPLE)
    for line, row in zip(lines, rows, strict=True):
        cells = dict(zip(header, row, strict=True))
        assert [cells["faces"], cells["person"]] == [str(line["faces"]), str(line["person"])]
        assert cells["face_problem"] == (line["face_problem"] or "")
        box = [cells[f"face_{side}"] for side in ("left", "top", "width", "height")]
        assert [float(share) for share in box if share] == (line["box"] or [])
