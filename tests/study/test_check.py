"""study/check.py: each thing that cannot be used is named at its session."""

import json
import random

import numpy as np
import pytest

from enrapt.study.check import check_study
from enrapt.study.study import new_study, read_study
from tests.support.damage import damaged
from tests.support.study_files import rate, rate_turns, session

TIMES = np.arange(0, 20.1, 0.5)


@pytest.fixture
def folder(tmp_path):
    new_study(tmp_path / "study")
    return tmp_path / "study"


def problems(folder) -> dict[str, list[str]]:
    return {one.session.name: one.problems for one in check_study(read_study(folder)) if one.problems}


def test_a_session_that_is_whole_has_no_problem_and_its_labels_a_share(folder):
    one = session(folder / "sessions/anna/1")
    rate(one, "r1", TIMES, np.full(len(TIMES), 0.5))
    rate(one, "r2", [5, 10], [0.5, 0.25])
    (checked,) = check_study(read_study(folder))
    assert checked.problems == []
    assert checked.schemas == {"voice": ""}
    assert (checked.start, checked.end) == (0, 20)
    assert [(r.dimension, r.rater, r.share) for r in checked.rated] == [
        ("engagement", "r1", 1.0),
        ("engagement", "r2", 0.25),
    ]


def test_labels_that_do_not_fit(folder):
    text = (folder / "study.toml").read_text()
    more = '[[dimensions]]\nname = "turn"\nkind = "interval"\nlow = 1\nhigh = 3\nlevels = ["a", "b", "c"]\n'
    (folder / "study.toml").write_text(text + more)
    one = session(folder / "sessions/anna")
    rate(one, "late", TIMES + 30, np.full(len(TIMES), 0.5))
    rate(one, "early", [-3, 1], [0.5, 0.5])
    rate(one, "nothing", TIMES, np.full(len(TIMES), np.nan))
    rate(one, "no_rows", [], [])
    rate(one, "large", [0, 1], [0.5, 1.5])
    rate(one, "known", [0, 1], [0.5, 0.5], "arousal")
    rate(one, "kind", [0, 1], [1, 1], "turn")
    rate_turns(one, "level", [(0, 1, 1.5)], "turn")
    rate_turns(one, "fine", [(0, 1, 3)], "turn")
    labels = one / "labels"
    (labels / "turn.overlap.csv").write_text("start,end,value,confidence\n0,2,1,\n1,3,1,\n")
    (labels / "turn.bad name.csv").write_text("start,end,value,confidence\n0,2,1,\n")
    (labels / "turn.binary.csv").write_bytes(b"\xff\0")
    lines = "\n".join(problems(folder)["anna"])
    for expected in (
        "labels/engagement.late.csv: rated from 30.0 to 50.0 s, outside of the recording, 0.0 to 20.0 s",
        "labels/engagement.early.csv: rated from -3.0 to 1.0 s, outside",
        "labels/engagement.nothing.csv: empty",
        "labels/engagement.no_rows.csv: empty",
        "labels/engagement.large.csv: values of 0.5 to 1.5, outside of 0 to 1, the range of engagement",
        "labels/arousal.known.csv: dimension arousal is not one of study.toml, which has engagement, turn",
        "labels/turn.kind.csv: is of kind trace, but turn is of kind interval",
        "labels/turn.level.csv: the value 1.5 is none of the 3 levels",
        "labels/turn.overlap.csv: the interval of 0 to 2 s overlaps the next, from 1 s on",
        "labels/turn.bad name.csv: 'bad name' cannot be the name of a rater",
        "labels/turn.binary.csv: not a text of UTF-8",
    ):
        assert expected in lines
    assert len(lines.splitlines()) == 11


def test_two_files_of_one_rater_and_dimension_and_raters_with_two_spellings(folder):
    one = session(folder / "sessions/anna")
    for rater in ("Eva", "eva"):
        rate(one, rater, TIMES, np.full(len(TIMES), 0.5))
    found = problems(folder)["anna"]
    assert "labels/: engagement.Eva.csv and engagement.eva.csv are of one rater and dimension" in found
    assert len(found) == 2


def test_a_person_with_two_spellings(folder):
    for name in ("anna/1", "anna/2", "Anna/3"):
        session(folder / "sessions" / name, 1)
    assert problems(folder) == {"Anna/3": ["the person 'Anna' is 'anna' elsewhere: is it the same?"]}


def test_sessions_of_different_schemas(folder):
    for k in range(3):
        session(folder / f"sessions/p{k}", 1, "voice/7" if k == 1 else None)
    assert problems(folder) == {
        "p1": ["voice is voice/7; in most sessions it is a plain vector of 2 numbers"]
    }


def test_sessions_that_have_not_ended_or_are_damaged_empty_or_missing(folder):
    for name in ("not_ended", "damaged", "no_json", "cut", "fine"):
        session(folder / "sessions" / name)
    path = folder / "sessions/not_ended/session.json"
    text = json.loads(path.read_text())
    del text["ended"]
    path.write_text(json.dumps(text))
    (folder / "sessions/no_json/session.json").write_text("{")
    table = folder / "sessions/cut/voice.arrows"
    table.write_bytes(table.read_bytes()[:-5000])
    table = folder / "sessions/damaged/voice.arrows"
    table.write_bytes(damaged(table.read_bytes(), random.Random(3)))
    with (folder / "study.toml").open("a") as file:
        file.write('[[sessions]]\npath = "sessions/gone"\nperson = "x"\n')
    found = problems(folder)
    assert set(found) == {"not_ended", "damaged", "no_json", "cut", "gone"}
    assert "was not ended" in found["not_ended"][0]
    assert found["no_json"] == ["session.json: not a session's, or damaged"]
    assert "is lost" in found["cut"][0]
    assert found["gone"] == ["no session there: check its path in study.toml"]


def test_every_problem_is_one_printable_line(folder):
    one = session(folder / "sessions/a")
    (one / "labels").mkdir()
    (one / "labels" / "engagement.x\ny.csv").write_text("time,value\n\x1b[2J\n")
    (line,) = problems(folder)["a"]
    assert "cannot be the name" in line
