import pytest

from enrapt.models.annealing import Annealing


def test_linear_rises_once():
    a = Annealing("linear", beta=0.5, rounds=4)
    assert [a.at(r) for r in range(6)] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_cyclical_rises_through_the_first_half_of_each_cycle():
    """To its value at the middle of each round: from 0 at the start of the cycle to 1 at half of it."""
    a = Annealing("cyclical", beta=1.0, rounds=4)
    assert [a.at(r) for r in range(8)] == pytest.approx([0.25, 0.75, 1, 1] * 2)


def test_a_ramp_is_the_share_of_a_cycle_that_rises():
    for ramp, expected in (
        (1.0, [0.125, 0.375, 0.625, 0.875]),
        (0.75, [1 / 6, 3 / 6, 5 / 6, 1]),
        (0.25, [0.5, 1, 1, 1]),
        (0.01, [1, 1, 1, 1]),
    ):
        a = Annealing("cyclical", beta=0.5, rounds=4, ramp=ramp)
        assert [2 * a.at(r) for r in range(8)] == pytest.approx(expected * 2)


def test_after_its_cycles_the_maximum_is_kept():
    a = Annealing("cyclical", beta=2.0, rounds=4, cycles=2)
    assert [a.at(r) for r in range(12)] == pytest.approx([0.5, 1.5, 2, 2] * 2 + [2] * 4)


def test_constant_is_constant():
    assert {Annealing("constant", beta=0.3).at(r) for r in range(100)} == {0.3}


def test_invalid_schedules_are_rejected():
    for keys in ({"rounds": 0}, {"ramp": 0.0}, {"ramp": 1.1}, {"cycles": 0}, {"schedule": "steps"}):
        (name,) = keys
        with pytest.raises(ValueError, match=name):
            Annealing(**keys)
