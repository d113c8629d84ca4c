"""Simulated people do what people do: the same correlations, durations and shares, from a fixed seed."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("simulated_effects"), importlib.import_module("speech_statistics")


@pytest.fixture(scope="module")
def talks(modules):
    """As many conversations as CONVERSE has."""
    return modules[0].conversations(np.random.default_rng(0), 111)


def check(found, people, within):
    """Signs where people's are clear, and about the sizes."""
    for name, value in people.items():
        assert abs(found[name] - value) < within, (name, found[name])
        if abs(value) > 0.3:
            assert found[name] * value > 0, (name, found[name])


def test_turn_taking_goes_with_ratings_as_in_people(modules, talks):
    """A correlation of 111 conversations has a standard error of 0.09."""
    people = modules[0].PEOPLE
    turns = modules[1].effects(talks)
    check(turns, people["CONVERSE, turns within conversations"], within=0.15)
    check(modules[1].levels(talks), people["CONVERSE, conversations"], within=0.4)
    assert abs(turns["partner's speech"]) < 0.12


@pytest.mark.long
def test_voice_and_face_go_with_ratings_as_in_people(modules):
    people, rng = modules[0].PEOPLE, np.random.default_rng(0)
    interviews, exchanges = modules[0].interviews(rng, 138), modules[0].exchanges(rng, 147)
    check(interviews, people["MIT, interviews"], within=0.3)
    assert interviews["spread of pitch"] < 0.1
    check(exchanges, people["Hazumi, exchanges within people"], within=0.25)
    assert all(abs(exchanges[name]) < 0.12 for name in ("loudness", "smile", "brows"))


def test_they_speak_and_pause_as_long_as_people(modules, talks):
    speech, shares = modules[1].speech(talks)
    for name, people in modules[0].SPEECH.items():
        if name.startswith("gap"):  # around 0
            np.testing.assert_allclose(speech[name], people, atol=1.1)
        else:
            np.testing.assert_allclose(speech[name], people, rtol=0.45)
    for name, share in modules[0].SHARES.items():
        assert shares[name] == pytest.approx(share, abs=0.05), name


def test_engagement_lasts_as_long_as_ratings_do(modules, talks):
    np.testing.assert_allclose(modules[1].persistence(talks), modules[0].PERSISTENCE, atol=0.12)


def test_peoples_numbers_are_those_of_the_tables(modules, shared):
    found, recorded = modules[0].measured(shared), modules[0].recorded()
    for group, people in recorded.correlations.items():
        assert found.correlations[group] == pytest.approx(people, abs=0.006)
    for name, quartiles in recorded.speech.items():
        assert found.speech[name] == pytest.approx(quartiles, abs=0.006)
    assert found.shares == pytest.approx(recorded.shares, abs=0.0006)
    assert found.persistence == pytest.approx(recorded.persistence, abs=0.006)


def test_shares_before_the_end_of_a_turn(modules):
    own, partner = np.zeros(1500, bool), np.zeros(1500, bool)
    own[750:1000], partner[875:1125] = True, True  # 30 to 40 s, 35 to 45 s
    found = modules[1].rated_turns(own, partner, [(30.0, 40.0, 3.0), (50.0, 60.0, 4.0)])
    assert found.x["own speech"].tolist() == [1, 0]
    assert found.x["partner's speech"] == pytest.approx([5 / 30, 10 / 30])
    assert found.x["both"] == pytest.approx([5 / 30, 5 / 30])
    assert found.x["silence"] == pytest.approx([20 / 30, 15 / 30])
    assert found.x["length of the turn"] == pytest.approx(np.log([10.2, 10.2]))


def test_durations_and_gaps(modules):
    own, partner = np.zeros(500, bool), np.zeros(500, bool)
    own[0:50], own[75:125], partner[100:200], own[250:300] = True, True, True, True
    both = modules[1].rated_turns(own, partner, [(0.0, 1.0, 3.0)])
    quartiles, shares = modules[1].speech([both])
    assert quartiles["own utterance"] == (2, 2, 2)
    assert quartiles["partner's utterance"] == (4, 4, 4)
    assert quartiles["own pause"] == (1, 1, 1)
    assert quartiles["gap before partner's"] == (-1, -1, -1)
    assert quartiles["gap before own"] == (2, 2, 2)
    assert shares == pytest.approx({"own": 0.3, "partner's": 0.2, "both": 0.05, "nobody": 0.55})


def test_what_groups_differ_in_is_left_out_within_them(modules):
    of = np.array([0, 0, 0, 1, 1, 1, 1])
    a = np.array([1.0, 2, 3, 11, 12, 13, np.nan])
    b = np.array([3.0, 2, 1, 103, 102, 101, 7])
    assert modules[1].within(a, b, of) == pytest.approx(-1)
