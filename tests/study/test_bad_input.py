"""What people get wrong in a study: it is named, refused or reported, and nothing is lost or half written."""

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.study import labels
from enrapt.study.dataset import write_dataset
from enrapt.study.importing import write_session
from enrapt.study.readers.contents import Samples
from enrapt.study.study import read_study
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.study_files import elan, rate, session

TOML = 'name = "t"\n[[dimensions]]\nname = "engagement"\n'
ENTRY = '[[sessions]]\npath = "{}"\nperson = "{}"\n'
PEOPLE = ("anna", "ben", "cem", "dora")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "study.toml").write_text(TOML)
    times = np.arange(0, 10.1, 0.5)
    for k, person in enumerate(PEOPLE):
        one = session(folder / "sessions" / person / "1", 10 + k)
        for rater in ("E1", "E2"):
            rate(one, rater, times, 0.5 + 0.4 * np.sin(times + k))
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    """What a command prints, which ends with that status; an error is one line."""
    assert main([str(one) for one in arguments]) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    if status == 2:
        assert err.count("\n") == 1
    return out + err


def imported(study: Path, text: str, *, name: str = "trace.csv", session: str = "anna/1") -> list[object]:
    (study.parent / name).write_text(text)
    given = [study.parent / name, "--study", study, "--name", session, "--dimension", "engagement"]
    return ["import", *given, "--rater", "X"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,value\n0,0.5\n1,inf\n", "trace.csv: a value is not finite"),
        ("time,value\n5,0.5\n", "its only value holds at one moment"),
        ("time,value\n-5,0.5\n5,0.5\n", "outside of the recording"),
        ("time,value\n0,0.5\n10000,0.5\n", "outside of the recording"),
        ("time,value\n0,50\n5,60\n", "values of 50 to 60, outside of 0 to 1"),
        ("time,value\n0,\n5,\n", "empty: nothing is rated"),
        ("time,value\n", "empty: nothing is rated"),
        ("", "trace.csv: empty"),
        ("time,value\n0,0.5\n1\n", "row 3 has 1 cells of 2"),
        ("time,value\n00:00:01,0.5\n", "expected numbers in time, value"),
    ],
)
def test_a_trace_that_cannot_be_is_refused_by_name(study, capsys, text, says):
    assert says in said(capsys, *imported(study, text))
    assert not (study / "sessions/anna/1/labels/engagement.X.csv").exists()


@pytest.mark.parametrize(
    ("text", "values", "note"),
    [
        ("\ufefftime,value\n0,0.5\n3,0.25\n", [0.5, 0.25], ""),
        ("time;value\n0,0;0,5\n3,0;0,25\n", [0.5, 0.25], ""),
        ('time,value\n"0,0","0,5"\n"3,0","0,25"\n', [0.5, 0.25], ""),
        ("time,value\n3,0.5\n0,0.25\n", [0.25, 0.5], "times go back 1 times: put in order"),
        ("time,value\n0,0.5\n0,0.25\n3,1\n", [0.25, 1.0], "1 samples at the time of the next left out"),
        ("time,value\n0,0.5\nnan,0.25\n3,1\n", [0.5, 1.0], "1 samples without a time left out"),
    ],
)
def test_a_trace_that_can_be_understood_is_taken_and_what_is_odd_is_said(study, capsys, text, values, note):
    assert note in said(capsys, *imported(study, text), status=0)
    found = labels.read(study / "sessions/anna/1/labels/engagement.X.csv")
    assert found.values.tolist() == values


def test_intervals_that_overlap_are_refused_with_the_files_name(study, capsys):
    (study / "study.toml").write_text(TOML + 'kind = "interval"\n')
    text = elan({"engagement": [(1.0, 5.0, "0.5"), (4.0, 8.0, "0.5")]})
    line = said(capsys, *imported(study, text, name="a.eaf"), "--tier", "engagement")
    assert "a.eaf: the interval of 1 to 5 s overlaps the next" in line


@pytest.mark.parametrize("name", ["../out", "/abs", ".hidden", "a/.b", "a\nb", "anna/1/inside", ".."])
def test_a_session_is_made_within_the_study_where_it_is_found(study, capsys, name):
    (study.parent / "f.csv").write_text("time,a\n0,1\n1,2\n")
    before = sorted(study.parent.rglob("*"))
    said(capsys, "import", study.parent / "f.csv", "--study", study, "--name", name)
    assert sorted(study.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("time,value\n", "empty: nothing is rated"),
        ("time,value\n3,0.5\n1,0.6\n", "is not later than the one before"),
        ("start,end,value,confidence\n0,5,0.5,\n4,6,0.5,\n", "overlaps the next"),
        ("time,value\n0,0.5\n300,0.6\n", "outside of the recording"),
        ("time,value\n0,5\n3,6\n", "outside of 0 to 1"),
        ("value,confidence\n0.5,\n", "is of kind session"),
        ("garbage", "the first line is garbage"),
    ],
)
def test_labels_with_a_problem_count_neither_in_agreement_nor_in_the_consensus(study, capsys, content, says):
    (study / "sessions/anna/1/labels/engagement.E1.csv").write_text(content)
    assert says in said(capsys, "study", "check", study, status=1)
    line = said(capsys, "study", "agreement", study, status=0)
    assert "anna/1: left out: labels/engagement.E1.csv: " in line
    assert "2 raters, 3 sessions" in line
    assert "left out" in said(capsys, "study", "consensus", study, status=0)
    assert not (study / "sessions/anna/1/labels/made").exists()


def test_two_spellings_of_a_rater_are_not_two_raters(study, capsys, tmp_path):
    path = study / "sessions/ben/1/labels/engagement.E1.csv"
    path.rename(path.with_name("engagement.e1.csv"))
    assert "the rater 'e1' is 'E1' elsewhere" in said(capsys, "study", "check", study, status=1)
    for what in ("agreement", "consensus"):
        assert "the raters E1 and e1 are probably one" in said(capsys, "study", what, study)
    with pytest.raises(UserError, match="the raters E1 and e1 are probably one"):
        write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert "is of rater E1" in said(capsys, *imported(study, "time,value\n0,1\n5,1\n")[:-1], "e1")


def test_label_files_with_a_capital_ending_are_labels(study, capsys):
    path = study / "sessions/anna/1/labels/engagement.E1.csv"
    path.rename(path.with_suffix(".CSV"))
    assert "4 sessions, all usable" in said(capsys, "study", "check", study, status=0)
    assert "2 raters, 4 sessions" in said(capsys, "study", "agreement", study, status=0)


def test_a_copy_of_a_session_is_not_another_persons(study, capsys, tmp_path):
    shutil.copytree(study / "sessions/anna/1", study / "sessions/zoe/1")
    assert "zoe/1: is a copy of anna/1" in said(capsys, "study", "check", study, status=1)
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert "zoe" not in str(dataset.people)
    assert "zoe/1: left out: is a copy of anna/1" in dataset.left_out


def test_accents_that_are_coded_in_two_ways_are_one_name(study, capsys, tmp_path):
    one, other = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    for name, folder in ((one, "ben"), (other, "cem")):
        (study / "sessions" / folder).rename(study / "sessions" / name)
        if len(list((study / "sessions").iterdir())) < len(PEOPLE):
            pytest.skip("this file system has one name for both")
    assert "is it the same?" in said(capsys, "study", "check", study, status=1)
    with pytest.raises(UserError, match="are probably one person"):
        write_dataset(read_study(study), "engagement", tmp_path / "data")
    shutil.rmtree(study / "sessions" / one)
    text = f'{TOML}kind = "session"\nlevels = ["nié", "oui"]\n'
    (study / "study.toml").write_text(unicodedata.normalize("NFC", text), encoding="utf-8")
    table = study.parent / "a.csv"
    table.write_text(unicodedata.normalize("NFC", "session,rater,value\nZoë/1,r,Nié\n"), encoding="utf-8")
    said(capsys, "import", table, "--study", study, "--dimension", "engagement", status=0)


def test_a_plain_vector_of_another_size_is_another_schema(study, capsys):
    values = Samples("voice", np.arange(200) / 25, np.ones((200, 3)), ("a", "b", "c"))
    write_session(study / "sessions/eve/1", {"voice": values}, "made up")
    line = said(capsys, "study", "check", study, status=1)
    assert "eve/1: voice is a plain vector of 3 numbers; in most sessions it is a plain vector of 2" in line


def test_labels_that_are_all_the_same_are_said(study, tmp_path):
    for path in study.rglob("engagement.*.csv"):
        path.write_text("time,value\n0,0.5\n10,0.5\n")
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert "all labels of engagement to learn from are the same: nothing can be learned" in dataset.left_out


def test_features_are_imported_into_a_study_that_is_there(study, capsys):
    (study.parent / "f.csv").write_text("time,a\n0,1\n1,2\n")
    line = said(capsys, "import", study.parent / "f.csv", "--study", study.parent / "tlaks")
    assert "not a study" in line
    assert not (study.parent / "tlaks").exists()


def test_a_session_that_has_lost_its_description_is_still_named(study, capsys):
    (study / "sessions/anna/1/session.json").unlink()
    assert "anna/1: has no session.json" in said(capsys, "study", "check", study, status=1)
    assert "anna/1: left out: has no session.json" in said(capsys, "study", "agreement", study, status=0)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (ENTRY.format("{0}", "a") + ENTRY.format("sessions/anna/1", "b"), "are one session"),
        (ENTRY.format("link/1", "a") + ENTRY.format("sessions/anna/1", "b"), "are one session"),
        ("levels = [1, 2]\n", "Expected `str`"),
        ("low = nan\n", "Expected `float`"),
        ("low = 1\n", "low must be less than high"),
        ('kind = "Trace"\n', "Invalid enum value"),
        ('licence = "x"\n', "unknown field"),
        (TOML, "Cannot declare"),
    ],
)
def test_a_description_that_is_wrong_is_one_line(study, capsys, more, says):
    if sys.platform != "win32":
        (study / "link").symlink_to(study / "sessions/anna")
    (study / "study.toml").write_text(TOML + more.format(study / "sessions/anna/1"))
    line = said(capsys, "study", "check", study)
    assert "study.toml: " in line
    assert says in line or "Cannot overwrite" in line


@pytest.mark.skipif(sys.platform == "win32", reason="no links")
def test_a_session_reached_by_a_link_is_there_once_with_the_person_of_its_entry(study):
    (study / "link").symlink_to(study / "sessions/anna")
    (study / "study.toml").write_text(TOML + ENTRY.format("link/1", "eve"))
    found = read_study(study).sessions
    assert (found[0].name, found[0].person) == ("anna/1", "eve")
    assert len(found) == 4


def test_a_description_with_a_byte_order_mark_is_read(study):
    (study / "study.toml").write_text("\ufeff" + TOML, encoding="utf-8")
    assert read_study(study).description.name == "t"


def test_a_session_that_goes_while_the_study_is_read_is_one_line(study, tmp_path):
    def progress(what: str, done: int, of: int) -> None:
        if what == "reading" and done == 1:
            shutil.rmtree(study / "sessions/cem")

    with pytest.raises(UserError, match=r"cem/1: not a session"):
        write_dataset(read_study(study), "engagement", tmp_path / "data", progress=progress)


@needs_limits
def test_on_a_full_disk_no_half_session_is_imported(tmp_path):
    values = np.random.default_rng(0).normal(size=(2000, 2))
    samples = {"voice": Samples("voice", np.arange(2000) / 25, values, ("a", "b"))}
    for limit in (0, 3000, 20_000):
        with files_no_larger_than(limit), pytest.raises(UserError, match="cannot be written"):
            write_session(tmp_path / "sessions" / "anna", samples, "a.csv")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    write_session(tmp_path / "sessions" / "anna", samples, "a.csv")
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == ["anna"]


def test_a_study_that_may_not_be_written_is_one_line(study):
    folders = [study, *(path for path in study.rglob("*") if path.is_dir())]
    # Root may write everywhere, unless it gives that up.
    bound = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []

    def ended(*arguments: object) -> tuple[int, str, str]:
        command = [*bound, sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    for folder in folders:
        folder.chmod(0o500)
    try:
        code, out, _ = ended("study", "check", study)
        assert (code, out.strip()) == (0, "4 sessions, all usable")
        code, _, error = ended(*imported(study, "time,value\n0,1\n5,1\n"))
        assert code == 2
        assert error.count("\n") == 1
        assert "cannot be written" in error
        code, _, error = ended("study", "consensus", study)
        assert code == 2
        assert error.count("\n") == 1
    finally:
        for folder in folders:
            folder.chmod(0o700)
