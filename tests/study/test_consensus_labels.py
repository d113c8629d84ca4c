"""study/consensus_labels.py: the consensus as a label file that no tool takes for a rater's."""

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.study import labels
from enrapt.study.check import check_study
from enrapt.study.consensus_labels import of_session, path_of, write_consensus
from enrapt.study.study import new_study, read_study
from enrapt.study.summary import agreement_of
from enrapt.study.writing import write_labels
from tests.support.study_files import rate, rate_turns, session, simulated_session


@pytest.fixture
def study(tmp_path):
    new_study(tmp_path / "talks")
    return tmp_path / "talks"


def agreed(study):
    found = read_study(study)
    return agreement_of(found, check_study(found), "engagement")


def test_a_trace_is_that_of_the_agreement_with_its_spread(study, capsys):
    for seed, person in enumerate(("anna", "ben")):
        simulated_session(study / "sessions" / person / "1", seed, seconds=60.0)
    before = agreed(study)
    assert main(["study", "consensus", str(study)]) == 0
    assert "the consensus of 4 raters on 2 sessions" in capsys.readouterr().out
    for number, one in enumerate(before.sessions):
        (label,) = of_session(one.session.folder)
        np.testing.assert_array_equal(label.at(before.times[number]), before.consensus.values[number])
        path = path_of(one.session.folder, "engagement")
        header, *rows = path.read_text().splitlines()
        assert header == "time,value,spread"
        spread = [float(row.split(",")[2]) for row in rows if row.split(",")[2]]
        assert spread
        assert set(spread) <= set(before.consensus.spread[number].tolist())
    after = agreed(study)  # is no rater
    assert after.consensus.raters == before.consensus.raters
    assert main(["study", "check", str(study)]) == 0


def test_intervals_have_a_value_between_all_borders_and_are_exported(study, tmp_path):
    (study / "study.toml").write_text((study / "study.toml").read_text().replace('"trace"', '"interval"'))
    folder = session(study / "sessions/anna/1", 20)
    rate_turns(folder, "r", [(0, 4, 0.25), (6, 10, 0.5), (11, 12, 1.0)])
    rate_turns(folder, "s", [(2, 4, 0.25), (8, 12, 1.0)])
    (path,) = write_consensus(agreed(study))
    made = labels.read(path)
    assert list(zip(made.start.tolist(), made.end.tolist(), strict=True)) == [
        (0, 2), (2, 4), (6, 8), (8, 10), (10, 11), (11, 12)
    ]  # fmt: skip
    assert made.value[[0, 1, 2, 4, 5]].tolist() == [0.25, 0.25, 0.5, 1.0, 1.0]
    assert 0.5 < made.value[3] < 1.0
    assert path.read_text().splitlines()[2] == "2.0,4.0,0.25,,0.0"
    lines = write_labels(folder, tmp_path / "out.eaf")
    assert "engagement.consensus: 6 annotations" in lines


def test_nothing_is_replaced_unless_asked(study):
    rate(session(study / "sessions/anna/1", 10), "r", [0, 8], [0.5, np.nan])
    (path,) = write_consensus(agreed(study))
    assert path == study / "sessions/anna/1/labels/made/engagement.consensus.csv"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.write_text("mine")
    with pytest.raises(UserError, match="exists and is kept"):
        write_consensus(agreed(study))
    assert path.read_text() == "mine"
    write_consensus(agreed(study), overwrite=True)
    assert path.read_text().startswith("time,value,spread\n0.0,0.5,\n")
