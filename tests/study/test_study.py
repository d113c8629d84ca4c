"""study/study.py: what a study.toml may say, which sessions belong to a study, and whose they are."""

import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.study.study import described, new_study, read_study
from tests.support.hostile import result_or_error
from tests.support.study_files import session

ENTRY = '[[sessions]]\npath = "{}"\nperson = "a"\n'
DIMENSION = '[[dimensions]]\nname = "engagement"\n'


def test_a_new_study_is_read_back_and_private(tmp_path):
    folder = tmp_path / 'my "study"'
    path = new_study(folder)
    study = read_study(folder)
    assert study.description.name == 'my "study"'
    assert [d.name for d in study.description.dimensions] == ["engagement"]
    assert study.sessions == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / "sessions")] == [0o700, 0o700]


def test_a_new_study_never_replaces_one(tmp_path):
    (tmp_path / "study.toml").write_text("name = 'old'\n")
    with pytest.raises(UserError, match="exists and is kept"):
        new_study(tmp_path)
    assert (tmp_path / "study.toml").read_text() == "name = 'old'\n"
    assert not (tmp_path / "sessions").exists()


def test_a_folder_that_was_there_keeps_its_mode_and_its_files(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    (folder / "notes.txt").write_text("kept")
    new_study(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert (folder / "notes.txt").read_text() == "kept"


def test_sessions_are_found_with_their_people(tmp_path):
    new_study(tmp_path / "s")
    for name in ("sessions/anna/1", "sessions/anna/2", "sessions/ben", "sessions/.hidden", "elsewhere/x"):
        session(tmp_path / "s" / name, 1)
    (tmp_path / "s" / "sessions" / "notes").mkdir()
    with (tmp_path / "s" / "study.toml").open("a") as file:
        file.write('[[sessions]]\npath = "sessions/ben"\nperson = "Ben B."\n')
        file.write('[[sessions]]\npath = "elsewhere/x"\nperson = "cem"\n')
        file.write('[[sessions]]\npath = "sessions/lost"\nperson = "dana"\n')
    found = {one.name: one.person for one in read_study(tmp_path / "s").sessions}
    assert found == {
        "anna/1": "anna", "anna/2": "anna", "ben": "Ben B.", "elsewhere/x": "cem", "lost": "dana",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `name`"),
        ('name = "a"\nnmae = "b"', "unknown field `nmae`"),
        (f'name = "a"\n{DIMENSION}kind = "both"', "Invalid enum value 'both'"),
        (f'name = "a"\n{DIMENSION}low = 2.0', "low must be less than high"),
        (f'name = "a"\n{DIMENSION}low = nan', "low"),
        (f'name = "a"\n{DIMENSION}{DIMENSION}', "engagement is there twice"),
        (f'name = "a"\n{DIMENSION}levels = ["low", "Low"]', "each once"),
        ('name = "a"\n[[dimensions]]\nname = "a b"', "name"),
        ('name = "a"\n[[sessions]]\npath = "x"', "missing required field `person`"),
        (f'name = "a"\n{ENTRY.format("x")}{ENTRY.format("./x")}', "x is there twice"),
        ("name = ", "Invalid value"),
    ],
)
def test_what_is_wrong_in_a_study_toml_is_named_in_one_line(tmp_path, text, message):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_study(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'study.toml'}: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_without_a_study(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="not a study"):
            read_study(folder)


def test_levels_are_equally_distant_values(tmp_path):
    text = f'name = "a"\n{DIMENSION}low = 1\nhigh = 5\nlevels = ["not", "little", "some", "much", "very"]'
    (dimension,) = described(text.encode()).dimensions
    np.testing.assert_array_equal(dimension.values, [1, 2, 3, 4, 5])
    assert [dimension.value_of(name) for name in ("not", " Very ", "6")] == [1, 5, None]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_an_error_in_one_line(content):
    result_or_error(lambda: described(content))
