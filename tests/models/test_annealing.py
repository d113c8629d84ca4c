import pytest

from enrapt.models.annealing import Annealing


def test_linear_rises_once():
    a = Annealing("linear", beta=0.5, rounds=4)
    assert [a.at(r) for r in range(6)] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_cyclical_rises_through_the_first_half_of_each_cycle():
    a = Annealing("cyclical", beta=1.0, rounds=4)
    assert [a.at(r) for r in range(8)] == pytest.approx([0.5, 1, 1, 1] * 2)


def test_constant_is_constant():
    assert {Annealing("constant", beta=0.3).at(r) for r in range(100)} == {0.3}


def test_invalid_schedules_are_rejected():
    with pytest.raises(ValueError, match="rounds"):
        Annealing(rounds=0)
