"""What encoders see of two speakers: exact values, streaming, missing ones. Graph: `export/test_write.py`."""

import math

import numpy as np
import pytest
import torch

from enrapt.models import Batch, Modality
from enrapt.models.config import build
from enrapt.models.recurrence import loop
from enrapt.models.turn_vrnn import TurnVRNN, TurnVRNNConfig

OWN, PARTNER = (Modality(name, 1, likelihood="bernoulli") for name in ("own", "partner"))
TARGET = Modality("engagement", 1, "target", "logit_normal", weight=10.0)
T = 60


def model(**options: float) -> TurnVRNN:
    torch.manual_seed(0)
    return TurnVRNN([OWN, PARTNER, TARGET], hidden=8, latent=3, **options).eval()


def speech(seed: int = 0, missing: bool = True) -> Batch:
    """Two conversations of 60 ticks, in bursts of speech."""
    rng = np.random.default_rng(seed)
    x = {
        name: np.repeat(rng.integers(0, 2, (2, T // 3, 1)), 3, 1).astype(float) for name in ("own", "partner")
    }
    if missing:
        x["partner"][0, 20:35] = np.nan
        x["own"][1, 40:50] = np.nan
    return model().batch(x)


def means(found: TurnVRNN, own: list[float], partner: list[float]) -> torch.Tensor:
    """The roots of the means after each tick, `[T, 6, K]`."""
    x = {"own": torch.tensor(own), "partner": torch.tensor(partner)}
    x = {k: v[None, :, None] for k, v in x.items()}
    mask = {k: ~v.isnan()[..., 0] for k, v in x.items()}
    features, _ = found.traced(x, mask, found.initial_state(1)[1], loop)
    return features[0].unflatten(-1, (6, -1))


def test_the_means_are_those_of_the_equations() -> None:
    found = model(ticks=(2.0, 5.0))
    own = [1.0, 0, 0, 0, 1, 1, 0, 0]
    partner = [0.0, 0, 1, 0, 0, 1, 1, 0]
    doing = np.array([
        own,
        [1, 0, 0, 0, 1, 0, 0, 0],  # onsets
        partner,
        [0, 0, 0, 0, 0, 1, 0, 0],  # both
        [0, 1, 0, 0, 0, 0, 0, 0],  # pauses after the person, and
        [0, 0, 0, 1, 0, 0, 0, 1],  # after the other one
    ])  # fmt: skip
    seen = means(found, own, partner)
    for k, ticks in enumerate((2.0, 5.0)):
        weights = np.exp(-np.arange(8)[::-1] / ticks)
        expected = (doing * weights).sum(1) / weights.sum()
        assert seen[-1, :, k].numpy() == pytest.approx(np.sqrt(expected), abs=1e-5)


def test_a_tick_at_which_somebody_is_not_heard_does_not_count() -> None:
    found, nan = model(ticks=(3.0,)), math.nan
    with_gap = means(found, [1.0, 0, 1, 1, 0], [0.0, 1, nan, nan, 0])
    without = means(found, [1.0, 0, 0], [0.0, 1, 0])
    assert torch.allclose(with_gap[-1, 2], without[-1, 2])  # partner


def test_values_beyond_a_share_are_clipped() -> None:
    found = model(ticks=(3.0,))
    assert torch.equal(means(found, [7.0, -3.0], [0.0, 2.0]), means(found, [1.0, 0.0], [0.0, 1.0]))


def test_tick_by_tick_gives_what_the_whole_conversation_gives() -> None:
    found, batch = model(dropout=0.5), speech()
    found.fit_normalisation(batch)
    whole = found.filter(batch)
    state: tuple[torch.Tensor, ...] = ()
    estimates = []
    for t in range(T):
        step = found.filter(batch.map(lambda v, t=t: v[:, t : t + 1]), state)
        state = step.state
        estimates.append(step.prediction["engagement"].mean)
    assert torch.allclose(torch.cat(estimates, 1), whole.prediction["engagement"].mean, atol=1e-5)
    for one, other in zip(state, whole.state, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_later_speech_changes_no_earlier_estimate() -> None:
    found, batch = model(), speech(missing=False)
    other = batch._replace(
        x={k: torch.where(torch.arange(T)[:, None] < 30, v, 1 - v) for k, v in batch.x.items()}
    )
    one, two = (found.filter(b).prediction["engagement"].mean for b in (batch, other))
    assert torch.equal(one[:, :30], two[:, :30])
    assert not torch.equal(one[:, 30:], two[:, 30:])


def test_of_a_person_alone_the_partner_does_not_matter() -> None:
    found, batch = model(), speech(missing=False)
    other = batch._replace(x=batch.x | {"partner": 1 - batch.x["partner"]})
    one, two = (found.filter(b.given(["own"])).prediction["engagement"] for b in (batch, other))
    assert torch.equal(one.mean, two.mean)
    hidden = batch._replace(available=batch.available | {"partner": torch.zeros(2, T, dtype=torch.bool)})
    assert torch.allclose(found.filter(hidden).prediction["engagement"].mean, one.mean, atol=1e-6)


def test_new_conversations_go_on_from_those_given() -> None:
    drawn = model().generate(4, 7, speech(missing=False), torch.Generator().manual_seed(0))
    assert {k: list(v.shape) for k, v in drawn.items()} == {
        name: [4, 2, 7, 1] for name in ("own", "partner", "engagement")
    }


def test_its_log_likelihood_does_not_depend_on_the_chunks() -> None:
    one, other = (
        model().log_likelihood(speech(), samples=6, chunk=chunk, generator=torch.Generator().manual_seed(3))
        for chunk in (2, 6)
    )
    assert torch.allclose(one, other, atol=1e-4)


def test_normalisation_gives_the_means_one_scale() -> None:
    found, batch = model(), speech(missing=False)
    found.fit_normalisation(batch)
    seen, _ = found.seen(batch.x, batch.available, found.initial_state(2)[1], loop)
    flat = seen["partner"].flatten(0, 1)
    assert torch.allclose(flat.mean(0), torch.zeros(flat.shape[-1]), atol=1e-4)
    assert (flat.std(0) < 1 + 1e-3).all()


@pytest.mark.parametrize("names", [("own",), ("own", "other")])
def test_it_is_of_two_speakers(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="observes own and partner"):
        TurnVRNNConfig(tuple(Modality(name, 1, likelihood="bernoulli") for name in names))


def test_it_is_built_from_a_configuration() -> None:
    assert type(build(TurnVRNNConfig((OWN, PARTNER, TARGET), hidden=8, latent=3))) is TurnVRNN
