from itertools import pairwise

import numpy as np
import pytest

from enrapt.models.datasets.people import draw_people
from enrapt.models.datasets.turn_taking import (
    BACKCHANNEL,
    GAP,
    PARTNER,
    SELF,
    UTTERANCE,
    spread,
    take_turns,
)

RATE, TICKS, COUNT = 25, 6000, 48


def turns_at(level):
    """Turns of the same people whose engagement goes from `1 - level` to `level` in the middle."""
    rng = np.random.default_rng(4)
    people = draw_people(rng, COUNT)
    y = np.full((TICKS, COUNT), 1 - level, np.float32)
    y[TICKS // 2 :] = level
    return take_turns(rng, people, y, RATE)


@pytest.fixture(scope="module")
def turns():
    return turns_at(0.8)


def test_only_who_has_the_floor_speaks_but_for_overlaps_and_backchannels(turns):
    assert set(np.unique(turns.speaker)) == {GAP, SELF, PARTNER}
    talks = turns.speaker != GAP
    assert (turns.speaker[talks] == turns.floor[talks]).all()
    assert turns.own[turns.speaker == SELF].all()
    assert turns.partner[turns.speaker == PARTNER].all()
    assert 0.01 < (turns.own & turns.partner).mean() < 0.1


def test_utterances_last_at_least_so_long(turns):
    """Those that are whole, and not cut by the tick they end in."""
    for person in range(8):
        changes = np.flatnonzero(np.diff(turns.speaker[:, person].astype(int)))
        for first, last in pairwise(changes):
            if turns.speaker[first + 1, person] == SELF:
                assert last - first >= UTTERANCE[0] * RATE - 1


def test_the_more_engaged_pause_less_and_speak_longer(turns):
    low, high = slice(0, TICKS // 2), slice(TICKS // 2, None)
    silent = (turns.floor == SELF) & (turns.speaker == GAP)
    share = [silent[part].sum() / (turns.floor[part] == SELF).sum() for part in (low, high)]
    assert share[1] < 0.7 * share[0]
    assert turns.own[high].mean() > 1.2 * turns.own[low].mean()
    assert abs(turns.partner[high].mean() - turns.partner[low].mean()) < 0.08


def test_what_is_constant_in_a_conversation_changes_less():
    """A conversation as a whole differs less than its moments."""
    rng = np.random.default_rng(9)
    people = draw_people(rng, COUNT)
    shares = []
    for level in (0.2, 0.8):
        turns = take_turns(np.random.default_rng(3), people, np.full((TICKS, COUNT), level, np.float32), RATE)
        shares.append(((turns.floor == SELF) & (turns.speaker == GAP)).sum() / (turns.floor == SELF).sum())
    assert 0.6 * shares[0] < shares[1] < shares[0]


def test_other_rates_have_the_same_seconds():
    rng = np.random.default_rng(1)
    people = draw_people(rng, COUNT)
    y = np.full((TICKS, COUNT), 0.5, np.float32)
    means = [take_turns(np.random.default_rng(2), people, y[: 240 * r], r).own.mean() for r in (10, 25)]
    assert means[0] == pytest.approx(means[1], abs=0.03)


def test_backchannels_go_on_for_their_length():
    begin = np.zeros((40, 2), bool)
    begin[3, 0] = begin[38, 1] = True
    out = spread(begin, round(BACKCHANNEL * RATE))
    assert np.flatnonzero(out[:, 0]).tolist() == list(range(3, 15))
    assert np.flatnonzero(out[:, 1]).tolist() == [38, 39]
