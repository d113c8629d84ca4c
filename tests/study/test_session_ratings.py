"""One value for a whole session: its file, a table of many, agreement, and what is trained on."""

import json

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.study import labels
from enrapt.study.check import check_study
from enrapt.study.dataset import STRETCH, write_dataset
from enrapt.study.ratings import Whole
from enrapt.study.session_ratings import import_ratings
from enrapt.study.study import read_study
from enrapt.study.summary import agreement_of
from enrapt.study.writing import write_labels
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.study_files import session

STUDY = """
name = "talks"
[[dimensions]]
name = "rapport"
kind = "session"
low = 1
high = 5
levels = ["none", "little", "some", "much", "full"]
"""
PEOPLE = ("anna", "ben", "cem")
TABLE = "session,rater,value,confidence\n" + "".join(
    f"{person}/1,{rater},{value},{0.5 if rater == 'r' else ''}\n"
    for rater, values in (("r", ("1", "3", "full")), ("s", ("little", "3", "5")))
    for person, value in zip(PEOPLE, values, strict=True)
)


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    for k, person in enumerate(PEOPLE):
        session(folder / "sessions" / person / "1", 25 + k)
    return folder


def imported(study, text, *arguments):
    table = study.parent / "ratings.csv"
    table.write_text(text)
    return main(["import", str(table), "--study", str(study), "--dimension", "rapport", *arguments])


def test_a_table_becomes_a_file_for_each_session_and_rater(study, capsys):
    assert imported(study, TABLE) == 0
    assert "6 ratings of 3 sessions, raters: 2" in capsys.readouterr().out
    path = study / "sessions/cem/1/labels/rapport.r.csv"
    assert path.read_text() == "value,confidence\n5.0,0.5\n"
    label = labels.read(path)
    assert isinstance(label, Whole)
    assert (label.value.tolist(), label.confidence.tolist()) == ([5.0], [0.5])
    assert label.at([0, 1e6]).tolist() == [5.0, 5.0]
    assert main(["study", "check", str(study)]) == 0
    assert main(["study", "status", str(study)]) == 0
    assert "rapport: r 100 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("session,value\nanna/1,3\n", [], "has no column rater; give --rater"),
        ("session,rater,value\nanna/1,r,6\n", [], "row 2: values of 6 to 6, outside of 1 to 5"),
        ("session,rater,value\nanna/1,r,2.5\n", [], "none of the 5 levels"),
        ("session,rater,value\nanna/1,r,lots\n", [], "row 2: 'lots' is no number, and no level"),
        ("session,rater,value\nanna/1,r,\n", [], "'' is no number"),
        ("session,rater,value\ndora/1,r,3\n", [], "row 2: the study has no session dora/1"),
        ("session,rater,value\nanna/1,r,3\nanna/1,r,4\n", [], "row 3: anna/1 is there twice for r"),
        ("session,rater,value\nanna/1,a b,3\n", [], "cannot be the name of a rater"),
        ("session,rater\nanna/1,r\n", [], "no column 'value'"),
        ("session,rater,value\n", [], "no row in it"),
        ("session,value\nanna/1,3\n", ["--rater", "r", "--tier", "x"], "--tier x: is for a --mapping"),
        ("session,value\nanna/1,3\n", ["--rater", "r", "--offset", "1"], "--offset: rapport is rated once"),
        ("session,rater,value\nanna/1,r,3\nben/1,R,4\n", [], "the rater R is r in an earlier row"),
        (
            "session,rater,value,confidence\nanna/1,r,3,high\n",
            [],
            "row 2: the confidence 'high' is no number",
        ),
        ("session,rater,value\nanna/1,../r,3\n", [], "cannot be the name of a rater"),
    ],
)
def test_of_a_table_with_a_mistake_nothing_is_written(study, capsys, text, arguments, says):
    assert imported(study, text, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(study.rglob("labels"))


def test_what_exists_is_kept_and_then_nothing_is_written(study, capsys):
    assert imported(study, "session,value\nben/1,3\n", "--rater", "r") == 0
    assert imported(study, "session,value\nanna/1,4\nben/1,4\n", "--rater", "r") == 2
    assert "exists and is kept" in capsys.readouterr().err
    assert not (study / "sessions/anna/1/labels").exists()
    assert imported(study, "session,value\nanna/1,4\nben/1,4\n", "--rater", "r", "--overwrite") == 0


ANSWERS = (
    "\ufefftalk;who;item;answer;sure\n"
    "anna/1;r;q1;2,0;3\nanna/1;r;q2;5;1\nben/1;s;q1;much;\nben/1;s;q2;lots of it;\n"
)
MAPPING = 'session = "talk"\nvalue = "answer"\nconfidence = "sure"\nrater = "who"\ndimension = "item"\n'


def mapped(study, mapping, *arguments, text=ANSWERS):
    (study.parent / "map.toml").write_text(mapping)
    return imported(study, text, "--mapping", str(study.parent / "map.toml"), *arguments)


def test_a_mapping_says_which_column_is_what(study, capsys):
    assert mapped(study, MAPPING, "--tier", "q1") == 0
    assert "2 ratings of 2 sessions, raters: 2" in capsys.readouterr().out
    found = labels.read(study / "sessions/anna/1/labels/rapport.r.csv")
    assert (found.value.tolist(), found.confidence.tolist()) == ([2.0], [3.0])
    assert labels.read(study / "sessions/ben/1/labels/rapport.s.csv").value.tolist() == [4.0]


def test_a_rater_that_is_given_is_the_one_of_all_rows(study):
    assert mapped(study, MAPPING, "--tier", "q1", "--rater", "z") == 0
    assert labels.read(study / "sessions/ben/1/labels/rapport.z.csv").value.tolist() == [4.0]


@pytest.mark.parametrize(
    ("mapping", "arguments", "says"),
    [
        (MAPPING, [], "no row of 'rapport'; it has q1, q2; choose with --tier"),
        (MAPPING, ["--tier", "q2"], "row 5: 'lots of it' is no number, and no level of rapport"),
        (MAPPING, ["--tier", "q1", "--column", "sure"], "map.toml says which column has the values"),
        ('session = "talk"\n', [], "map.toml: give value: the rating is of a whole session"),
        ('start = "a"\nend = "b"\nvalue = "c"\n', [], "map.toml: give session"),
        (
            MAPPING + 'unit = "ms"\n',
            [],
            "map.toml: unit means nothing in a table of ratings of whole sessions",
        ),
        (MAPPING + "rate = 25\n", [], "map.toml: rate means nothing"),
        (MAPPING + 'person = "a"\n', [], "unknown field `person`"),
        ('session = "talk"\nvalue = "nothing"\n', ["--rater", "r"], "no column 'nothing'; it has talk, who"),
        ('session = "who"\nvalue = "sure"\n', ["--rater", "r"], "the study has no session r"),
        ('session = "talk"\nvalue = "sure"\n', [], "has no column rater; give --rater NAME"),
        ("session = 1\n", [], "map.toml: Expected `str | null`, got `int`"),
        ("session = talk\n", [], "map.toml: Invalid value"),
    ],
)
def test_a_mapping_that_does_not_fit_is_one_line(study, capsys, mapping, arguments, says):
    assert mapped(study, mapping, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(study.rglob("labels"))


def test_a_mapping_of_whole_sessions_is_for_a_dimension_of_that_kind(study, capsys):
    text = (study / "study.toml").read_text() + '[[dimensions]]\nname = "engagement"\n'
    (study / "study.toml").write_text(text)
    (study.parent / "map.toml").write_text(MAPPING)
    (study.parent / "a.csv").write_text(ANSWERS)
    arguments = ["--study", str(study), "--name", "anna/1", "--mapping", str(study.parent / "map.toml")]
    assert main(["import", str(study.parent / "a.csv"), *arguments, "--dimension", "engagement"]) == 2
    assert "session is for ratings of whole sessions" in capsys.readouterr().err


@needs_limits
def test_on_a_full_disk_no_file_of_a_table_is_written(study, capsys):
    assert imported(study, "session,value,confidence\nben/1,3,\n", "--rater", "r") == 0
    capsys.readouterr()
    rows = "anna/1,1,\nben/1,1,\ncem/1,1,0.1234567\n"  # the last is too long for it
    table = study.parent / "more.csv"
    table.write_text("session,value,confidence\n" + rows)
    dimension = read_study(study).dimension("rapport")
    with files_no_larger_than(26), pytest.raises(UserError, match=r"rapport\.r\.csv: cannot be written"):
        import_ratings(table, read_study(study), dimension, rater="r", overwrite=True)
    assert [path.relative_to(study).as_posix() for path in study.rglob("labels/*")] == [
        "sessions/ben/1/labels/rapport.r.csv"
    ]
    assert labels.read(study / "sessions/ben/1/labels/rapport.r.csv").value.tolist() == [3.0]


def test_a_rater_of_an_earlier_file_has_one_spelling(study, capsys):
    assert imported(study, "session,value\nben/1,3\n", "--rater", "Eve") == 0
    assert imported(study, "session,value\nben/1,3\n", "--rater", "eve") == 2
    assert "is of rater Eve; give that name" in capsys.readouterr().err


def test_a_session_has_one_value(tmp_path):
    path = tmp_path / "rapport.r.csv"
    for text in ("value,confidence\n", "value,confidence\n1,\n2,\n", "value,confidence\n,\n"):
        path.write_text(text)
        with pytest.raises(UserError):
            labels.read(path)


def test_agreement_is_over_sessions_however_long_they_are(study):
    imported(study, TABLE)
    found = agreement_of(read_study(study), check_study(read_study(study)), "rapport")
    ratings = np.concatenate(found.consensus.ratings, 1)
    assert ratings.tolist() == [[1, 3, 5], [2, 3, 5]]
    x, y = ratings
    assert found.after.pairs == pytest.approx(
        2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    )
    assert main(["study", "agreement", str(study)]) == 0


def test_each_stretch_of_a_session_has_its_rating_to_train_on(study, tmp_path):
    imported(study, TABLE)
    write_dataset(read_study(study), "rapport", tmp_path / "data")
    index = json.loads((tmp_path / "data/sessions.json").read_text())
    for part, files in index.items():
        for name, one in files.items():
            arrays = np.load(tmp_path / "data" / part / name)
            target = arrays["rapport"][:, 0]
            known = np.flatnonzero(~np.isnan(target))
            last = len(target) - 1
            assert known.tolist() == [*np.arange(STRETCH, last / 25, STRETCH).astype(int) * 25, last]
            number = PEOPLE.index(one["person"])
            expected = (np.mean([[1, 3, 5][number], [2, 3, 5][number]]) - 1) / 4
            assert target[known] == pytest.approx(np.full(len(known), expected), abs=0.02)


def test_it_is_exported_and_has_no_stretches_to_offer(study, tmp_path, capsys):
    imported(study, TABLE)
    anna = study / "sessions/anna/1"
    assert write_labels(anna, tmp_path / "anna.eaf") == [
        "rapport.r: 1 annotations",
        "rapport.s: 1 annotations",
    ]
    write_labels(anna, tmp_path / "anna.csv")
    assert (tmp_path / "anna.csv").read_text().splitlines()[1].endswith("1.0,2.0")
    (anna / "media.mkv").write_bytes(b"")
    assert main(["annotate", str(anna), "--rater", "E1", "--next"]) == 2
    assert "has no stretches to offer; give the study with --next" in capsys.readouterr().err
