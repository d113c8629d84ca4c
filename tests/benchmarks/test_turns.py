"""Measures of the ratings of turns, and the models that give them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import turn_factors
import turn_models
import turns
from datasets.converse import Conversation, Turn


@pytest.fixture(scope="module")
def people() -> list[Conversation]:
    """Five people who talk for a minute; who talks more is rated higher."""
    rng, found = np.random.default_rng(0), []
    for k in range(5):
        own = [(10.0 * i, 10.0 * i + 1 + k + rng.random()) for i in range(6)]
        partner = [(10.0 * i + 7, 10.0 * i + 9) for i in range(6)]
        rated = [Turn(start, end, 0.1 + 0.2 * k, 4.0) for start, end in own]
        found.append(Conversation(str(k), "1", "human", "high", own, partner, rated))
    return found


@pytest.fixture(scope="module")
def ours(people: list[Conversation]) -> turn_models.Ours:
    return turn_models.train(turn_models.Ours, turn_models.batch_of(people), 0, epochs=1)


def test_predictions_are_those_of_a_live_run(ours: turn_models.Ours, people: list[Conversation]) -> None:
    batch = turn_models.batch_of(people)
    known = batch.available["engagement"]
    for names in turn_models.PATTERNS.values():
        found = ours.model.filter(batch.given(names)).prediction["engagement"]
        for one, other in zip(ours.predict(batch, names), (found.mean, found.low, found.high), strict=True):
            np.testing.assert_allclose(one, other[known][:, 0].detach(), atol=1e-6)


def test_an_excerpts_states_are_those_of_the_conversation(
    ours: turn_models.Ours, people: list[Conversation]
) -> None:
    batch = turn_models.batch_of(people)
    h, means = ours.states(batch)["both"]
    whole = ours.model.filter(batch.map(lambda v: v[:, :40]).given(["own", "partner"]))
    torch.testing.assert_close(h[:, 40], whole.state[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(means[:, 40], whole.state[1], atol=1e-5, rtol=0)


def test_stretched_estimates_vary_more_around_the_same_centre(
    ours: turn_models.Ours, people: list[Conversation]
) -> None:
    batch = turn_models.batch_of(people)
    target = ours.model.by_name["engagement"]
    z, h = torch.randn(7, turn_models.LATENT), torch.randn(7, turn_models.HIDDEN)
    decoder = ours.model.target_decoder(target)
    before = decoder(z, h)[:, 0]
    turn_factors.stretch(ours, 2.0, 0.6)
    after = decoder(z, h)[:, 0]
    centre = np.log(0.6 / 0.4)
    torch.testing.assert_close(after - centre, 2 * (before - centre), atol=1e-4, rtol=1e-4)
    assert len(ours.predict(batch, ("own",)).mean) == 30


def test_spoilt_activity_has_the_errors_that_were_measured() -> None:
    silence = torch.zeros(1, 40_000, 1)
    x = {"own": silence, "partner": silence + 1, "engagement": silence * torch.nan}
    batch = turn_models.Batch(x, {name: ~v.isnan()[..., 0] for name, v in x.items()})
    found = turn_models.spoilt(batch, 0).x
    assert float(found["own"].mean()) == pytest.approx(turn_models.FALSE, rel=0.05)
    assert float(1 - found["partner"].mean()) == pytest.approx(turn_models.MISSED, rel=0.05)


def test_measures_of_a_perfect_and_a_constant_estimate() -> None:
    truth, conversation = np.array([0.1, 0.3, 0.5, 0.9]), np.array([0, 0, 1, 1])
    exact = turn_models.Predicted(truth, truth - 0.1, truth + 0.1)
    assert turns.measures(truth, conversation, exact, 0.4) == pytest.approx([1, 1, 1, 0, 1, 0.5])
    person = np.array(["a", "a", "b", "b"])
    low, high = turns.bootstrap(person, truth, truth)
    assert (low, high) == pytest.approx((1, 1))


def test_no_person_is_on_both_sides_of_a_fold(people: list[Conversation]) -> None:
    parts = turn_factors.folds([c.person for c in people], 3, 18)
    assert sorted(person for part in parts for person in part) == ["0", "1", "2", "3", "4"]
    for part in parts:
        some, others = turn_factors.without(people, part)
        assert {c.person for c in others} == part
        assert not {c.person for c in some} & part
