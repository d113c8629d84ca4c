"""From session to session of a study."""

import time
from pathlib import Path

import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.annotate.onward import Onward
from enrapt.study.annotate.task import Task, Wanted
from enrapt.study.labels import path_of
from enrapt.study.study import new_study
from tests.support.annotated import film
from tests.support.study_files import rate, session


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    new_study(tmp_path / "talks")
    (tmp_path / "talks" / "study.toml").write_text(
        'name = "t"\n[[dimensions]]\nname = "rapport"\nkind = "session"\nhigh = 5\n'
    )
    for name in ("anna/1", "anna/2", "ben/1"):
        folder = session(tmp_path / "talks" / "sessions" / name, 1.0)
        film(folder / "media.mkv", 0.5)
    return tmp_path / "talks"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def onward(talks: Path, tmp_path: Path, said: list[str]):
    (tmp_path / "copies").mkdir()
    one = Onward(talks, Wanted("E1"), tmp_path / "copies", said.append)
    yield one
    one.close()


def go_on(onward: Onward, task: Task | None) -> Task | None:
    while isinstance(found := onward.after(task), float):
        assert 0 <= found <= 1
        time.sleep(0.01)
    return found


def answer(task: Task) -> None:
    task.whole["rapport"].rate(4.0, "s")


def test_each_session_once_and_its_copy_is_deleted_when_it_is_left(onward, tmp_path):
    task = onward.first(lambda name, share: None)
    seen = []
    while task is not None:
        seen.append(task.material.title)
        assert task.played.path.is_file()
        answer(task)
        task, before = go_on(onward, task), task
    assert seen == ["anna/1", "anna/2", "ben/1"]
    assert before.played.path.is_file()  # the last is still there to play
    assert len(list((tmp_path / "copies").glob("*/*"))) == 1
    assert onward.rated == (3, 3)
    assert [one.material.title for one in onward.tasks] == seen


def test_what_is_left_out_comes_again_after_the_last(onward):
    first = onward.first(lambda name, share: None)
    second = go_on(onward, first)
    answer(second)
    third = go_on(onward, second)
    answer(third)
    assert go_on(onward, third).material.title == "anna/1"


def test_a_session_that_another_program_has_rated_meanwhile_is_not_offered(onward, talks):
    task = onward.first(lambda name, share: None)
    path = path_of(talks / "sessions" / "anna" / "2", "rapport", "E1")
    path.parent.mkdir()
    path.write_text("value,confidence\n3,\n")
    assert go_on(onward, task).material.title == "ben/1"


def test_a_session_that_cannot_be_opened_is_passed_over_with_a_line(onward, talks, said):
    (talks / "sessions" / "anna" / "1" / "media.mkv").write_bytes(b"no film")
    rate(talks / "sessions" / "anna" / "2", "E1", [0.0, 0.5], [1.0, 1.0], "rapport")  # a trace, of the past
    assert onward.first(lambda name, share: None).material.title == "ben/1"
    assert [line.split(":")[0] for line in said] == ["anna/1", "anna/2"]
    assert "of kind trace" in said[1]


def test_one_that_is_removed_meanwhile_is_passed_over(onward, talks, said):
    task = onward.first(lambda name, share: None)
    for path in sorted((talks / "sessions" / "anna" / "2").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (talks / "sessions" / "anna" / "2").rmdir()
    assert go_on(onward, task).material.title in ("anna/2", "ben/1")  # its copy may have been made before


def test_a_study_without_anything_to_play_is_refused(talks, tmp_path):
    for path in talks.rglob("media.mkv"):
        path.unlink()
    with pytest.raises(UserError, match=r"no session with media\.mkv"):
        Onward(talks, Wanted("E1"), tmp_path, print)
