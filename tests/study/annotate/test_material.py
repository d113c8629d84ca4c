"""What is rated, and where its labels go."""

import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.annotate.material import dimensions_of, given_intervals, material_of
from enrapt.study.labels import check_spelling
from enrapt.study.study import new_study
from tests.support.study_files import TURNS, elan, rate, rate_turns, session


@pytest.fixture
def study(tmp_path):
    new_study(tmp_path / "talks")
    return tmp_path / "talks"


def test_labels_of_a_session_lie_in_it(study):
    folder = session(study / "sessions" / "anna")
    with pytest.raises(UserError, match=r"no media.mkv to play; give .* --media"):
        material_of(folder, None, None)
    (folder / "media.mkv").write_bytes(b"x")
    found = material_of(folder, None, None)
    assert (found.media, found.folder, found.own_axis) == (folder / "media.mkv", folder / "labels", True)
    other = material_of(folder, None, study / "film.mp4")
    assert (other.media, other.folder, other.own_axis) == (study / "film.mp4", folder / "labels", False)


def test_labels_of_a_film_lie_beside_it_or_in_the_session_of_its_name(study, tmp_path):
    film = tmp_path / "anna.mp4"
    film.write_bytes(b"x")
    assert material_of(film, study, None).folder == tmp_path / "anna.mp4.labels"
    folder = session(study / "sessions" / "anna")
    assert material_of(film, study, None).folder == folder / "labels"
    assert material_of(film, None, None).folder == tmp_path / "anna.mp4.labels"


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such session or file"):
        material_of(tmp_path / "nothing", None, None)
    with pytest.raises(UserError, match="not a session"):
        material_of(tmp_path, None, None)


def test_the_study_says_what_is_rated(study, tmp_path):
    folder = study / "sessions" / "anna"
    (found,) = dimensions_of(folder, None, [])
    assert found.question == "How engaged is the person?"
    with pytest.raises(UserError, match="no dimension valence; it has engagement"):
        dimensions_of(folder, None, ["valence"])
    assert [d.name for d in dimensions_of(tmp_path / "film.mp4", None, [])] == ["engagement"]
    assert [d.name for d in dimensions_of(tmp_path / "film.mp4", None, ["a", "b"])] == ["a", "b"]
    (study / "study.toml").write_text('name = "x"\n')
    with pytest.raises(UserError, match=r"no \[\[dimensions\]\]"):
        dimensions_of(folder, None, [])


def test_intervals_to_rate_are_those_of_labels_or_of_a_tier(study, tmp_path):
    folder = session(study / "sessions" / "anna")
    path = rate_turns(folder, "E1", [(1.0, 2.0, 3.0), (4.0, 5.0, 1.0)])
    assert given_intervals(path) == [(1.0, 2.0), (4.0, 5.0)]
    with pytest.raises(UserError, match="is no file of intervals"):
        given_intervals(rate(folder, "E2", [0.0, 1.0], [0.5, 0.5]))
    other = tmp_path / "talk.eaf"
    other.write_text(elan(TURNS))
    assert given_intervals(other, "operator") == [(3.0, 5.0), (9.0, 14.0)]
    with pytest.raises(UserError, match="choose one with --tier"):
        given_intervals(other)


def test_a_rater_with_other_capitals_is_refused(study):
    folder = session(study / "sessions" / "anna")
    rate(folder, "Ben", [0.0, 1.0], [0.5, 0.5])
    check_spelling(folder / "labels", "Ben")
    check_spelling(folder / "labels", "Bea")
    with pytest.raises(UserError, match="is of rater Ben"):
        check_spelling(folder / "labels", "ben")
