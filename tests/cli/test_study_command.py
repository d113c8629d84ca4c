"""`enrapt study` and `enrapt import`: what they print, write and refuse."""

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.schemas import OPENFACE
from enrapt.realtime.store.reader import SessionReader
from enrapt.study.labels import read
from tests.support.study_files import TURNS, elan, openface, rate, session, simulated_session


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        assert main([*map(str, arguments)]) == status
        found = capsys.readouterr()
        if status == 2:
            assert found.out == ""
            assert len(found.err.splitlines()) == 1
            return found.err
        assert found.err == ""
        return found.out

    return run


@pytest.fixture
def study(run, tmp_path):
    run("study", "new", "talks")
    (tmp_path / "talk.eaf").write_text(elan(TURNS))
    text = (tmp_path / "talks/study.toml").read_text()
    text = text.replace('"trace"', '"interval"').replace("low = 0.0\nhigh = 1.0", "low = 1\nhigh = 5")
    (tmp_path / "talks/study.toml").write_text(text)
    return tmp_path / "talks"


TIERS = "own=participant,partner=operator,backchannel=backchannels"
LABELS = ("--dimension", "engagement", "--rater", "E1", "--tier", "engagement", "--confidence", "confidence")


def test_turns_and_labels_of_elan(run, study):
    assert run("import", "talk.eaf", "--study", "talks", "--turns", TIERS).splitlines() == [
        "turns: 488 samples of 3 numbers, turns/1",
        "talks/sessions/talk: a session of 19.5 s",
    ]
    printed = run("import", "talk.eaf", "--study", "talks", *LABELS)
    path = "talks/sessions/talk/labels/engagement.E1.csv"
    assert printed == f"{path}: 3 intervals from 1.0 to 19.5 s, 59 % of the session\n"
    label = read(study.parent / path)
    assert (label.value.tolist(), label.confidence.tolist()) == ([3, 4, 5], [5, 2, 4])
    assert "exists and is kept" in run("import", "talk.eaf", "--study", "talks", *LABELS, status=2)
    run("import", "talk.eaf", "--study", "talks", *LABELS, "--overwrite")
    assert run("study", "check", "talks") == "1 session, all usable\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dimension", "engagement", "--rater", "E1"), "choose one with --tier"),
        (("--dimension", "engagement", "--tier", "engagement"), "does not say who rated; give --rater"),
        (("--dimension", "engagement", "--tier", "nothing", "--rater", "E1"), "no 'nothing' in it"),
        (("--dimension", "mood", "--tier", "engagement", "--rater", "E1"), "no dimension mood"),
        ((*LABELS, "--offset", "100"), "outside of the recording"),
        (
            ("--dimension", "engagement", "--tier", "operator", "--rater", "E1"),
            "none of its 2 texts is a number",
        ),
        ((*LABELS, "--rater", "a/b"), "cannot be the name of a rater"),
        (("--turns", "me=participant"), "give own=TIER"),
        ((), "give --dimension for labels, or --turns"),
        (("--turns", TIERS), "is not empty"),
    ],
)
def test_what_does_not_fit_changes_nothing(run, study, arguments, message):
    session(study / "sessions/talk", 20)
    before = sorted(study.rglob("*"))
    assert message in run("import", "talk.eaf", "--study", "talks", *arguments, status=2)
    assert sorted(study.rglob("*")) == before


def test_values_outside_of_the_range_are_refused(run, study):
    session(study / "sessions/talk", 20)
    (study.parent / "turns.toml").write_text('start = "a"\nend = "b"\nvalue = "v"\nrater = "who"\n')
    (study.parent / "turns.csv").write_text("a,b,v,who\n0,1,9,E2\n")
    arguments = ("--study", "talks", "--name", "talk", "--mapping", "turns.toml", "--dimension", "engagement")
    assert "values of 9 to 9, outside of 1 to 5" in run("import", "turns.csv", *arguments, status=2)
    (study.parent / "turns.csv").write_text("a,b,v,who\n0,1,5,E2\n")
    assert "engagement.E2.csv: 1 intervals" in run("import", "turns.csv", *arguments)


def test_a_table_of_several_raters(run, study):
    session(study / "sessions/talk", 20)
    (study.parent / "turns.toml").write_text('start = "a"\nend = "b"\nvalue = "v"\nrater = "who"\n')
    (study.parent / "turns.csv").write_text("a,b,v,who\n0,1,2,E1\n0,1,5,E2\n")
    arguments = ("--study", "talks", "--name", "talk", "--mapping", "turns.toml", "--dimension", "engagement")
    message = run("import", "turns.csv", *arguments, status=2)
    assert "has turns of E1, turns of E2; choose one with --rater" in message
    run("import", "turns.csv", *arguments, "--rater", "E2")
    assert read(study / "sessions/talk/labels/engagement.E2.csv").value.tolist() == [5]


def test_features_join_a_session_in_a_new_one(run, study):
    session(study / "sessions/talk", 2)
    openface(study.parent / "of.csv", np.ones((60, OPENFACE.dim)), lost=(5,))
    assert "stays as it is" in run("import", "of.csv", "--session", "talks/sessions/talk", status=2)
    printed = run("import", "of.csv", "--session", "talks/sessions/talk", "-o", "talks/sessions/talk2")
    assert printed.splitlines() == [
        "of.csv: 1 of 60 pictures without a face (success, confidence)",
        "face: 60 samples of 25 numbers, openface/1",
        "talks/sessions/talk2: a session of 2.0 s",
    ]
    assert set(SessionReader(study / "sessions/talk2").schemas) == {"voice", "face"}


def test_labels_of_a_session_that_belongs_to_no_study(run, tmp_path):
    session(tmp_path / "alone", 3)
    (tmp_path / "trace.csv").write_text("time;value\n0;0,5\n2,5;100\n")
    printed = run("import", "trace.csv", "--session", "alone", "--dimension", "joy", "--rater", "anna")
    assert printed == "alone/labels/joy.anna.csv: 2 values from 0.0 to 2.5 s, 83 % of the session\n"
    assert "give --session" in run("import", "trace.csv", status=2)
    assert "not a session" in run(
        "import", "trace.csv", "--session", "x", "--dimension", "a", "--rater", "b", status=2
    )


def test_status_fits_a_hundred_columns(run, study):
    for name in ("a" * 70, "anna/with_a_very_long_name_of_a_session"):
        folder = session(study / "sessions" / name, 4000 if name[0:4] == "anna" else 1)
        for k in range(5):
            rate(folder, f"a_rater_with_a_long_name_{k}", [0, 1], [1.5, 2.5])
    printed = run("study", "status", "talks")
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.splitlines()[0] == "talks: 2 sessions of 2 people, 1:06 h"
    joined = "".join(printed.split())
    assert "voice(plain)" in joined
    assert "a_rater_with_a_long_name_4" in joined
    printed = run("study", "check", "talks", status=1)
    assert printed.splitlines()[-1] == "2 sessions, 2 with problems"
    assert "is of kind trace, but engagement is of kind interval" in printed


def test_a_study_without_sessions_or_ratings(run, study):
    assert "no session in" in run("study", "status", "talks", status=2)
    session(study / "sessions/a", 1)
    assert "nobody has rated engagement" in run("study", "agreement", "talks", status=2)
    assert "not a study" in run("study", "check", "nothing", status=2)
    assert "exists and is kept" in run("study", "new", "talks", status=2)


def test_agreement_of_made_up_raters(run, tmp_path):
    run("study", "new", "made_up")
    lags = np.array([0.5, 1.5, 3.0])
    for k in range(2):
        simulated_session(tmp_path / "made_up/sessions" / f"person{k}", k, lags=lags, seconds=150)
    printed = run("study", "agreement", "made_up", "-o", "picture.png")
    lines = printed.splitlines()
    assert lines[0] == "engagement: 3 raters, 2 sessions"
    found = [float(line.split()[1]) for line in lines[3:6]]
    assert np.abs(found - lags).max() < 0.2
    (concordances,) = (line.split()[-2:] for line in lines if line.startswith("CCC, mean"))
    assert float(concordances[1]) > float(concordances[0]) + 0.1
    assert "the lag that all raters share is that behind behaviour" in printed
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    printed = run("study", "agreement", "made_up", "--no-features")
    assert "the quickest rater has 0 s" in printed
    assert printed.splitlines()[3].split()[1] in ("0.00", "-0.00")


def test_export_for_elan_and_back(run, study):
    run("import", "talk.eaf", "--study", "talks", "--turns", TIERS)
    run("import", "talk.eaf", "--study", "talks", *LABELS)
    assert "engagement.E1: 3 annotations" in run("study", "export", "talks/sessions/talk", "-o", "out.eaf")
    again = ("--dimension", "engagement", "--rater", "E2")
    run("import", "out.eaf", "--study", "talks", "--name", "talk", *again)
    first, second = (read(study / f"sessions/talk/labels/engagement.{r}.csv") for r in ("E1", "E2"))
    np.testing.assert_array_equal(first.start, second.start)
    np.testing.assert_array_equal(first.value, second.value)
