"""The tables of CONVERSE, their voice activity, and the scores of turns."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.converse import Turn, activity, last_tick, load_converse
from enrapt.contracts.errors import UserError

SPEECH = """sub,run,group,condition,who,start,end,n_words,n_chars
10,1,robot,low,participant,0.5,1.5,3,9
10,1,robot,low,operator,2,2.5,3,9
10,1,robot,low,participant_backchannel,2.1,2.3,0,0
2,1,human,high,participant,1,2,3,9
"""
TURNS = """sub,run,group,condition,start,end,engagement,confidence
10,1,robot,low,0.5,1.5,5.0,3.0
10,1,robot,low,2.0,2.5,,
2,1,human,high,1,2,1.0,
"""


def tables(folder: Path, speech: str = SPEECH, turns: str = TURNS) -> tuple[Path, Path]:
    (folder / "speech.csv").write_text(speech)
    (folder / "turns.csv.gz").write_bytes(gzip.compress(turns.encode()))
    return folder / "speech.csv", folder / "turns.csv.gz"


def test_people_in_order_with_what_a_microphone_hears(tmp_path: Path) -> None:
    two, ten = load_converse(*tables(tmp_path))
    assert (two.person, ten.person) == ("2", "10")
    assert ten.own == [(0.5, 1.5), (2.1, 2.3)]
    assert ten.partner == [(2.0, 2.5)]
    assert (ten.group, ten.condition, ten.seconds) == ("robot", "low", 2.5)
    assert ten.turns == [Turn(0.5, 1.5, 0.9, 3.0)]  # that without a rating is left out
    assert two.turns == [Turn(1, 2, 0.1, 3.0)]  # without a confidence it is 3


def test_the_less_confident_the_larger_is_a_labels_spread() -> None:
    spreads = [Turn(0, 1, 0.5, confidence).spread for confidence in (5.0, 3.0, 1.0)]
    assert spreads == pytest.approx([0, 0.05, 0.1])  # at most half of a fifth


def test_activity_is_the_share_of_the_last_40_ms() -> None:
    found = activity([(0.5, 1.51), (1.52, 1.53)], 6, 2)
    np.testing.assert_allclose(found, [0, 0, 1, 1, 0, 0], atol=1e-6)
    assert activity([(0.49, 0.51)], 3, 2).tolist() == pytest.approx([0, 0.25, 0])


def test_a_turn_is_scored_at_its_last_tick() -> None:
    ticks = [last_tick(Turn(0, end, 0.5, 3), 2) for end in (0.2, 0.5, 0.51, 10.0)]
    assert ticks == [0, 0, 1, 19]


@pytest.mark.parametrize(
    ("speech", "turns", "message"),
    [
        ("sub\n2\n", TURNS, "has no column run"),
        (SPEECH + "2,1,human,high,nobody,1,2,0,0\n", TURNS, "line 6: who is participant"),
        (SPEECH + "2,1,human,high,operator,3,2,0,0\n", TURNS, "line 6: from 3 to 2 s"),
        (SPEECH + "2,1,human,high,operator,x,2,0,0\n", TURNS, "line 6: 'x' is no number"),
        (SPEECH + "2,1,human\n", TURNS, "line 6: too few columns"),
        (SPEECH, TURNS + "3,1,human,high,1,2,3,3\n", "line 5: no speech of person 3, run 1"),
        (SPEECH, TURNS + "2,1,human,high,1,2,6,3\n", "line 5: ratings are from 1 to 5"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, speech: str, turns: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_converse(*tables(tmp_path, speech, turns))


def test_a_missing_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_converse(tmp_path / "speech.csv", tmp_path / "turns.csv")
