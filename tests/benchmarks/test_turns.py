"""Measures of the ratings of turns, and the models that give them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import turn_bundle
import turn_ceiling
import turn_factors
import turn_models
import turns
from datasets.converse import Conversation, Turn

from enrapt.models import Ensemble


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
    for pattern, located in ours.predict(batch).items():
        found = ours.model.filter(batch.given(turn_models.PATTERNS[pattern])).prediction["engagement"]
        one = turn_factors.predicted([located], turn_factors.AS_FITTED, 0.5)
        for value, other in zip(one, (found.mean, found.low, found.high), strict=True):
            np.testing.assert_allclose(value, other[known][:, 0].detach(), atol=2e-6)


@torch.no_grad()
def test_the_ensemble_of_the_table_is_that_of_the_bundle(people: list[Conversation]) -> None:
    batch, members = turn_models.batch_of(people), []
    for seed in range(3):
        members.append(turn_models.Ours(seed, batch))
    factors, centre = turn_factors.Factors(1.0, 1.2), 0.6
    for member in members:
        turn_bundle.stretch(member.model.eval(), 1.7, centre)
    several = [member.predict(batch)["own only"] for member in members]
    expected = turn_factors.predicted(several, factors, centre)
    model = Ensemble([member.model for member in members])
    model.widening(model.by_name["engagement"]).fill_(factors.widening)
    found = model.filter(batch.given(["own"])).prediction["engagement"]
    known = batch.available["engagement"]
    for value, other in zip(expected, (found.mean, found.low, found.high), strict=True):
        np.testing.assert_allclose(value, other[known][:, 0], atol=1e-5)


def test_an_excerpts_states_are_those_of_the_conversation(
    ours: turn_models.Ours, people: list[Conversation]
) -> None:
    batch = turn_models.batch_of(people)
    h, means = ours.states(batch)["both"]
    whole = ours.model.filter(batch.map(lambda v: v[:, :40]).given(["own", "partner"]))
    torch.testing.assert_close(h[:, 40], whole.state[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(means[:, 40], whole.state[1], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def an_mdvae(people: list[Conversation]) -> turn_models.Filter:
    return turn_models.train(turn_models.Filter, turn_models.batch_of(people), 0, epochs=1)


def test_a_filters_states_and_estimates_are_those_of_a_live_run(
    an_mdvae: turn_models.Filter, people: list[Conversation]
) -> None:
    seen = an_mdvae.seen(turn_models.batch_of(people))
    states, found = an_mdvae.states(seen)["both"], an_mdvae.predict(turn_models.batch_of(people))["both"]
    state, estimates = (), []
    for t, tick in enumerate(seen.given(["own", "partner"]).segments(1)):
        for at_once, streamed in zip(states, state, strict=bool(state)):
            torch.testing.assert_close(at_once[:, t], streamed, atol=1e-4, rtol=1e-4)
        step = an_mdvae.model.filter(tick, state)
        state = step.state
        estimates.append(step.prediction["engagement"])
    known = seen.available["engagement"]
    low = torch.cat([estimate.low for estimate in estimates], 1)[known]
    one = turn_factors.predicted([found], turn_factors.AS_FITTED, 0.5)
    np.testing.assert_allclose(one.low, low[:, 0].detach(), atol=1e-4)


def test_stretched_estimates_vary_more_around_the_same_centre(ours: turn_models.Ours) -> None:
    target = ours.model.by_name["engagement"]
    z, h = torch.randn(7, turn_models.LATENT), torch.randn(7, turn_models.HIDDEN)
    decoder = ours.model.target_decoder(target)
    before = decoder(z, h)[:, 0]
    turn_bundle.stretch(ours.model, 2.0, 0.6)
    after = decoder(z, h)[:, 0]
    centre = np.log(0.6 / 0.4)
    torch.testing.assert_close(after - centre, 2 * (before - centre), atol=1e-4, rtol=1e-4)


def test_spoilt_activity_has_the_errors_that_were_measured() -> None:
    silence = torch.zeros(1, 40_000, 1)
    x = {"own": silence, "partner": silence + 1, "engagement": silence * torch.nan}
    batch = turn_models.Batch(x, {name: ~v.isnan()[..., 0] for name, v in x.items()})
    found = turn_models.spoilt(batch, 0).x
    assert float(found["own"].mean()) == pytest.approx(turn_models.FALSE, rel=0.05)
    assert float(1 - found["partner"].mean()) == pytest.approx(turn_models.MISSED, rel=0.05)


def test_measures_of_a_perfect_and_a_constant_estimate() -> None:
    truth, conversation = np.array([0.1, 0.3, 0.5, 0.9]), np.array([0, 0, 1, 1])
    exact = turn_factors.Predicted(truth, truth - 0.1, truth + 0.1)
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


def test_each_turn_is_that_of_the_member_that_left_the_person_out(people: list[Conversation]) -> None:
    turns_of = turn_factors.people_of(people)
    members = [
        {"both": turn_models.Located(np.full(30, float(k)), np.full(30, 10.0 + k))}
        for k in range(turn_factors.MEMBERS)
    ]
    out = turn_factors.left_out(people, members)
    for k, part in enumerate(turn_factors.parts(people)):
        mine = np.isin(turns_of, sorted(part))
        assert set(out.found["both"].location[mine]) == {k}
        assert set(out.found["both"].scale[mine]) == {10 + k}
    assert out.between["both"] == pytest.approx(np.full(30, 2.0))
    assert not out.of_one().between["both"].any()


def test_what_a_member_errs_beyond_the_ensemble_does_not_widen_its_interval() -> None:
    rng, n = np.random.default_rng(0), 40_000
    signal = rng.normal(0, 0.5, n)
    truth = 1 / (1 + np.exp(-signal - rng.normal(0, 0.8, n)))
    location = signal + rng.normal(0, 0.3, n)  # of the ensemble's, which is `signal`
    out = turn_factors.LeftOut(
        truth,
        np.arange(n) % 400,
        {"both": turn_models.Located(location, np.full(n, 0.4))},
        {"both": np.full(n, 0.09)},
    )
    factor = turn_factors.widened(out, 1.0, 0.5)
    assert factor * np.sqrt(0.4**2 + 0.3**2) == pytest.approx(0.8, rel=0.03)
    assert turn_factors.widened(out.of_one(), 1.0, 0.5) * 0.4 == pytest.approx(np.hypot(0.8, 0.3), rel=0.03)


def test_estimates_are_stretched_to_the_third_root_of_r() -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 0.1, 10_000)
    truth = mean + rng.normal(0, 0.2, 10_000)
    r = np.corrcoef(mean, truth)[0, 1]
    factor = turn_factors.stretch_of(truth, mean)
    assert factor * mean.std() == pytest.approx(r ** (1 / 3) * truth.std())
    # Of the estimates' variance, half is lost in the ensemble: r² is twice as large.
    assert turn_factors.stretch_of(truth, mean, 0.5) == pytest.approx(factor * 2 ** (1 / 6) * 2**0.5)
    assert turn_factors.stretch_of(truth, 9 * truth) == 1


def test_the_ceiling_is_the_reliability_of_ratings_whose_noise_is_known() -> None:
    rng, people = np.random.default_rng(0), []
    ends = np.arange(60) * 6.0
    decay = np.exp(-np.abs(ends[:, None] - ends) / 30)
    for k in range(60):
        truth = rng.normal() + np.linalg.cholesky(decay) @ rng.normal(size=60)
        rated = 0.5 + 0.1 * (truth + rng.normal(size=60))  # of the variance of 3, the noise has 1
        turns_ = [Turn(end - 1, end, float(y), 3.0) for end, y in zip(ends, rated, strict=True)]
        people.append(Conversation(str(k), "1", "human", "high", [], [], turns_))
    found = turn_ceiling.shared(people, weighted=True)
    assert found.at_once() == pytest.approx(2 / 3, abs=0.06)
    at_twelve = (1 + np.exp(-12 / 30)) / 3
    assert found.share[1] == pytest.approx(at_twelve, abs=0.06)
