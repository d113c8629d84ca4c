"""study/dataset.py: sessions of a study as files to train on."""

import json
import stat
from datetime import UTC, datetime

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import TURNS
from enrapt.realtime.store.group import Member, write_group
from enrapt.realtime.store.reader import SessionReader
from enrapt.study.check import check_study
from enrapt.study.dataset import labelled, observed, write_dataset
from enrapt.study.importing import write_session
from enrapt.study.readers.contents import Samples
from enrapt.study.study import new_study, read_study, recorded_together
from enrapt.study.summary import agreement_of
from tests.support.study_files import rate, rate_turns, session, simulated_session


@pytest.fixture
def study(tmp_path):
    """Three people rated by one, and one without labels."""
    new_study(tmp_path / "talks")
    for person in ("anna", "ben", "cem", "dana"):
        folder = session(tmp_path / "talks/sessions" / person / "1", 10)
        if person != "dana":
            rate(folder, "r", [0, 4, 8], [0.25, 0.5, np.nan])
    return tmp_path / "talks"


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_session_is_in_the_part_of_its_person(study, tmp_path):
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    index = json.loads((tmp_path / "data/sessions.json").read_text())
    for part, people in dataset.people.items():
        assert {one["person"] for one in index[part].values()} == set(people)
        assert {p.name for p in (tmp_path / "data" / part).glob("*.npz")} == set(index[part])
    assert "dana" in dataset.people["train"]
    assert dataset.left_out == ["dana/1: has no labels of engagement, helps to learn the features only"]
    assert (dataset.seconds["test"], dataset.labels["test"]) == (251 / 25, 200)


def test_people_who_were_recorded_together_are_in_one_part(study, tmp_path):
    sessions = study / "sessions"
    (sessions / "pair").mkdir()
    for person in ("ben", "cem"):
        (sessions / person / "1").rename(sessions / "pair" / person)
    rate(session(sessions / "eva" / "1", 10), "r", [0, 8], [0.5, np.nan])
    write_group(sessions / "pair", [Member("ben"), Member("cem")], datetime.now(UTC))
    found = read_study(study)
    assert [one.person for one in found.sessions if one.name.startswith("pair")] == ["ben", "cem"]
    assert recorded_together(found.sessions) == [{"ben", "cem"}]
    for seed in range(10):
        dataset = write_dataset(found, "engagement", tmp_path / str(seed), seed=seed)
        assert sum({"ben", "cem"} <= {*people} for people in dataset.people.values()) == 1
    (sessions / "pair" / "group.json").unlink()  # now they are a person, whom the folder names
    assert {one.person for one in read_study(study).sessions} == {"anna", "pair", "dana", "eva"}


def test_raters_are_with_the_sessions(study, tmp_path):
    people = {p: study / "sessions" / p / "1" for p in ("anna", "ben", "cem")}
    for folder in people.values():
        rate(folder, "s", [0, 4, 8], [0.25, 0.5, np.nan])  # as the other one
    rate(people["ben"], "t", [0, 4, 8], [0.5, 0.25, np.nan])
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data", test_people=["ben"])
    found = json.loads((tmp_path / "data/raters.json").read_text())
    assert found["raters"] == list(dataset.raters) == ["r", "s", "t"]
    assert set(found["parts"]) == {"train", "validation", "test"}
    assert found["parts"]["train"]["with_the_others"] == [1.0, 1.0, None]  # t rated ben only
    assert found["parts"]["test"]["pairs"] < 0
    assert found["parts"]["train"]["pairs"] == 1.0


def test_values_are_those_of_the_session_and_labels_those_of_the_rater(study, tmp_path):
    write_dataset(read_study(study), "engagement", tmp_path / "data")
    (path,) = (tmp_path / "data/test").glob("*.npz")
    person = json.loads((tmp_path / "data/sessions.json").read_text())["test"][path.name]["person"]
    arrays = dict(np.load(path))
    rows = [o.values["voice"] for o in SessionReader(study / "sessions" / person / "1").observations()]
    np.testing.assert_array_equal(arrays["voice"], rows)
    y = arrays["engagement"]
    assert y.shape == (251, 1)
    np.testing.assert_array_equal(y[:, 0], [0.25] * 100 + [0.5] * 100 + [np.nan] * 51)
    assert set(arrays) == {"voice", "engagement"}  # one rater has no spread


def test_the_same_study_gives_the_same_private_bytes(study, tmp_path):
    for name in ("one", "two"):
        write_dataset(read_study(study), "engagement", tmp_path / name, seed=5)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "one").rglob("*") if p.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700


def test_the_consensus_has_no_lags_and_a_standard_error(tmp_path):
    new_study(tmp_path / "talks")
    lags = np.array([0.5, 1.5, 3.0])
    people = [
        simulated_session(tmp_path / f"talks/sessions/p{k}", k, lags=lags, seconds=120) for k in range(3)
    ]
    study = read_study(tmp_path / "talks")
    checked = check_study(study)
    found = agreement_of(study, checked, "engagement")
    for person, one in zip(people, checked, strict=True):
        times = np.arange(1, 2900) / 25
        values, error = labelled(found, one, times)
        truth = np.interp(times, np.arange(len(person.truth)) / 10, person.truth)
        rated = ~np.isnan(values)
        assert np.corrcoef(values[rated], truth[rated])[0, 1] > 0.95
        assert 0 < np.nanmedian(error) < 0.2
        # By hand: the weighted mean's standard error at a tick that all have rated.
        k, w = 1500, found.consensus.weights
        rows = np.array([one.labels[r].at(times[k] + found.consensus.lags[r]) for r in range(3)])
        share = w / w.sum()
        mean = share @ rows
        several = 1 / (share**2).sum()
        assert values[k] == pytest.approx(mean)
        assert error[k] == pytest.approx(np.sqrt(share @ (rows - mean) ** 2 / (several - 1)))


def test_the_value_of_a_turn_stands_at_its_last_tick(study, tmp_path):
    text = (
        (study / "study.toml").read_text().replace('"trace"', '"interval"').replace("high = 1.0", "high = 5")
    )
    (study / "study.toml").write_text(text.replace("low = 0.0", "low = 1"))
    for person in ("anna", "ben", "cem"):
        (study / f"sessions/{person}/1/labels/engagement.r.csv").unlink()
        rate_turns(study / f"sessions/{person}/1", "r", [(1.0, 2.0, 3), (2.5, 4.01, 5), (6.001, 6.002, 2)])
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    (path,) = (tmp_path / "data/test").glob("*.npz")
    y = np.load(path)["engagement"][:, 0]
    assert np.flatnonzero(~np.isnan(y)).tolist() == [49, 100]
    assert y[[49, 100]].tolist() == [0.5, 1.0]
    assert dataset.labels["test"] == 2


def test_another_rate_aligns_the_samples_again(study):
    folder = study / "sessions/anna/1"
    schemas = SessionReader(folder).schemas
    at_10, times = observed(folder, schemas, 10)
    at_25, _ = observed(folder, schemas, 25)
    assert times.tolist() == (np.arange(101) / 10).tolist()
    np.testing.assert_array_equal(at_10["voice"], at_25["voice"][np.floor(times * 25 + 1e-9).astype(int)])


def test_a_session_without_a_modality_lacks_it(study, tmp_path):
    n = np.arange(250) / 25
    turns = Samples("turns", n, np.zeros((250, 3)), TURNS.features, TURNS.name)
    write_session(study / "sessions/anna/2", {"turns": turns}, "made up")
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert list(dataset.modalities) == ["voice", "turns"]


def test_different_schemas_are_refused_by_name(study, tmp_path):
    n = np.arange(250) / 25
    other = {"voice": Samples("voice", n, np.zeros((250, 3)), ("a", "b", "c"))}
    write_session(study / "sessions/eve/1", other, "made up")
    with pytest.raises(UserError, match="voice is a plain vector of 3 numbers in eve/1, and a"):
        write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_sessions_with_problems_are_left_out_and_say_why(study, tmp_path):
    rate(session(study / "sessions/eve/1", 10), "r", [0, 100], [0.5, 0.5])
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert "eve" not in str(dataset.people)
    assert dataset.left_out[0].startswith(
        "eve/1: left out: labels/engagement.r.csv: rated from 0.0 to 100.0 s"
    )


def test_a_session_that_was_cut_off_is_used_up_to_there(study, tmp_path):
    path = study / "sessions/anna/1/session.json"
    text = json.loads(path.read_text())
    del text["ended"]
    path.write_text(json.dumps(text))
    dataset = write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert "anna" in str(dataset.people)
    assert "the session was not ended" in dataset.left_out[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("mood", "no dimension mood"), ("voice", "both a modality of the sessions and a dimension")],
)
def test_a_dimension_that_cannot_be_learned(study, tmp_path, name, message):
    text = (study / "study.toml").read_text()
    (study / "study.toml").write_text(text + '\n[[dimensions]]\nname = "voice"\n')
    with pytest.raises(UserError, match=message):
        write_dataset(read_study(study), name, tmp_path / "data")


def test_too_few_people(study, tmp_path):
    (study / "sessions/anna/1/labels/engagement.r.csv").unlink()
    with pytest.raises(UserError, match="2 labelled people"):
        write_dataset(read_study(study), "engagement", tmp_path / "data")
    assert not (tmp_path / "data").exists()
