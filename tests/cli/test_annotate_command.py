"""`enrapt annotate`: what it refuses, and what it leaves."""

import pytest

from enrapt.cli.main import main
from enrapt.study.study import new_study
from tests.support.annotated import film, served
from tests.support.mjpeg import free_port
from tests.support.study_files import rate, rate_turns, session


@pytest.fixture
def talk(tmp_path):
    new_study(tmp_path / "talks")
    return session(tmp_path / "talks" / "sessions" / "anna")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "has no media.mkv to play"),
        (("--rater", "a b"), "cannot be the name of a rater"),
        (("--dimension", "valence"), "no dimension valence"),
        (("--next",), "has no estimates"),
        (("--show-estimate",), "has no estimates"),
        (("--intervals", "nothing.csv"), "nothing.csv"),
        (("--study", "elsewhere"), "elsewhere: not a study"),
        (("--rater", "ben"), "is of rater Ben"),
        (("--rater", "E9"), "is of kind interval"),
    ],
)
def test_what_does_not_fit_is_one_line(talk, capsys, options, said):
    rate(talk, "Ben", [0.0, 1.0], [0.5, 0.5])
    rate_turns(talk, "E9", [(0.0, 1.0, 0.5)])
    if options:
        (talk / "media.mkv").write_bytes(b"not looked at before the rest fits")
    rater = () if "--rater" in options else ("--rater", "E1")
    assert main(["annotate", str(talk), *rater, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_said(tmp_path, capsys):
    path = film(tmp_path / "a.mp4", 0.5, codec="libx264")
    port = free_port()
    with served(str(path), "--rater", "E1", port=port):
        assert main(["annotate", str(path), "--rater", "E1", "--port", str(port)]) == 2
    assert (
        f"port {port} is in use, perhaps by another enrapt; give another with --port N"
        in capsys.readouterr().err
    )


def test_ctrl_c_ends_it_and_leaves_no_copy(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with served(str(film(tmp_path / "a.mkv", 0.5)), "--rater", "E1", port=free_port()) as server:
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        assert server.end() == 0
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "a.mkv.labels").exists()  # nothing was rated


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "a study; --next goes from session to session, or give one of them"),
        (("--next", "--media", "a.mkv"), "--media: is for one recording"),
        (("--next", "--study", "talks"), "--study: is for one recording"),
        (("--next", "--dimension", "mood"), "no dimension mood"),
        (("--next",), "no session with media.mkv to play"),
        (("--next", "--rater", "a/b"), "cannot be the name of a rater"),
    ],
)
def test_of_a_study_what_does_not_fit_is_one_line(talk, capsys, options, said):
    if "--rater" in options:
        (talk / "media.mkv").write_bytes(b"x")
    rater = () if "--rater" in options else ("--rater", "E1")
    assert main(["annotate", str(talk.parents[1]), *rater, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_study_that_is_rated_says_so(talk, capsys):
    (talk / "media.mkv").write_bytes(b"x")
    rate(talk, "E1", [0.0, 1.0], [0.5, 0.5])
    assert main(["annotate", str(talk.parents[1]), "--rater", "E1", "--next"]) == 0
    assert "E1 has rated 1 of 1 sessions" in capsys.readouterr().out
