"""What encoders see of the recent past: exact values, streaming, missing ones. Graph: `test_write.py`."""

import math

import numpy as np
import pytest
import torch

from enrapt.models import Batch, Modality, RecentVRNN
from enrapt.models.config import build
from enrapt.models.recent_vrnn import RecentVRNNConfig
from enrapt.models.recurrence import loop

FACE, VOICE = Modality("face", 3, likelihood="normal"), Modality("voice", 2, likelihood="normal")
TARGET = Modality("engagement", 1, "target", "logit_normal", weight=10.0)
T = 40


def model(**options: object) -> RecentVRNN:
    torch.manual_seed(0)
    return RecentVRNN([FACE, VOICE, TARGET], hidden=8, latent=3, **options).eval()


def data(seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    x = {"face": rng.normal(2, 3, (2, T, 3)), "voice": rng.normal(size=(2, T, 2))}
    x["voice"][0, 10:25] = np.nan
    x["face"][1, 5:9] = np.nan
    return model().batch(x)


def summaries(found: RecentVRNN, x: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, spread and share of the voice after the last tick, of one time constant."""
    voice = torch.tensor(x, dtype=torch.float32)[None, :, None].expand(1, -1, 2)
    mask = {"voice": ~voice[..., 0].isnan()}
    values = {"voice": voice.nan_to_num()}
    seen, _ = found.past.summaries(values, mask, found.initial_state(1)[1], loop)
    mean, spread, share = seen["voice"][0, -1].split([2, 2, 1])
    return {"mean": mean.numpy(), "spread": spread.numpy(), "share": share.numpy()}


def test_the_summaries_are_those_of_the_equations() -> None:
    x = np.array([1.0, -2.0, 0.5, 3.0, 3.0, -1.0])
    ticks = 4.0
    weights = (1 - math.exp(-1 / ticks)) * np.exp(-np.arange(6)[::-1] / ticks)
    share = weights.sum()
    mean = (weights * x).sum()
    std = math.sqrt((weights * x**2).sum() / share - (mean / share) ** 2)
    found = summaries(model(ticks=(ticks,)), x)
    assert found["mean"] == pytest.approx([mean, mean], abs=1e-6)
    assert found["spread"] == pytest.approx([std * share] * 2, abs=1e-5)
    assert found["share"] == pytest.approx([share], abs=1e-6)


def test_they_fade_while_the_modality_is_missing() -> None:
    found = model(ticks=(4.0,))
    before = summaries(found, np.array([1.0, -2.0, 0.5, 3.0]))
    after = summaries(found, np.array([1.0, -2.0, 0.5, 3.0, math.nan, math.nan]))
    for name in ("mean", "spread", "share"):
        assert after[name] == pytest.approx(before[name] * math.exp(-2 / 4), rel=1e-4)


def test_several_time_constants_are_those_of_one_each() -> None:
    x = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    both = model(ticks=(2.0, 9.0))
    voice = torch.tensor(x, dtype=torch.float32)[None, :, None].expand(1, -1, 2)
    mask = {"voice": torch.ones(1, 5, dtype=torch.bool)}
    seen, _ = both.past.summaries({"voice": voice}, mask, both.initial_state(1)[1], loop)
    parts = [summaries(model(ticks=(ticks,)), x) for ticks in (2.0, 9.0)]
    expected = np.concatenate([part[name] for part in parts for name in ("mean", "spread", "share")])
    assert seen["voice"][0, -1].numpy() == pytest.approx(expected, abs=1e-6)


def test_tick_by_tick_gives_what_the_whole_sequence_gives() -> None:
    found, batch = model(), data()
    found.fit_normalisation(batch)
    whole = found.filter(batch)
    state: tuple[torch.Tensor, ...] = ()
    for t in range(T):
        here = found.filter(batch.map(lambda v, t=t: v[:, t : t + 1]), state)
        state = here.state
        for one, other in zip(here.prediction["engagement"], whole.prediction["engagement"], strict=True):
            assert torch.allclose(one[:, 0], other[:, t], atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(state, whole.state, strict=True))


def test_what_the_encoders_see_is_normalised() -> None:
    found, batch = model(ticks=(1.0, 6.0)), data()
    found.fit_normalisation(batch)
    seen, _ = found.seen(batch.x, batch.available, found.initial_state(2)[1], loop)
    for m in (FACE, VOICE):
        known = seen[m.name][batch.available[m.name]]
        assert known.shape[1] == m.dim + 2 * (2 * m.dim + 1)
        assert known.mean(0).abs().max() < 0.2
        assert (known.std(0) - 1).abs().max() < 0.3
    moments = [v.clone() for v in found.past.moments("face")]
    found.fit_normalisation(data(1))  # of a continued training
    assert all(torch.equal(a, b) for a, b in zip(moments, found.past.moments("face"), strict=True))


def test_a_modality_that_was_never_seen_changes_nothing() -> None:
    found, batch = model(), data()
    found.fit_normalisation(batch)
    one = found.filter(batch.given(["face"])).prediction["engagement"].mean
    assert torch.isfinite(one).all()
    without = Batch({"face": batch.x["face"]}, {"face": batch.available["face"]})
    assert torch.allclose(one, found.filter(without).prediction["engagement"].mean, atol=1e-6)


def test_what_has_an_encoder_of_its_own_is_seen_as_it_is() -> None:
    own = Modality("picture", 3, likelihood="normal", encoder="Sequential(Linear(3, 4), Tanh())")
    found = RecentVRNN([own, VOICE, TARGET], hidden=8, latent=3)
    assert [m.name for m in found.past.modalities] == ["voice"]
    assert found.initial_state(1)[1].shape == (1, 2 * (2 * 2 + 1))
    alone = RecentVRNN([own, TARGET], hidden=8, latent=3)
    x = {"picture": torch.randn(2, 5, 3), "engagement": torch.full((2, 5, 1), 0.5)}
    assert torch.isfinite(alone.loss(x).total)
    assert alone.filter({"picture": x["picture"]}).state[1].shape == (2, 0)


def test_generated_sequences_carry_their_recent_past() -> None:
    found, batch = model(), data()
    found.fit_normalisation(batch)
    torch.manual_seed(1)
    new = found.generate(3, ticks=4, after=batch)
    assert new["face"].shape == (3, 2, 4, 3)
    assert torch.isfinite(new["face"]).all()


def test_a_dropout_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="a dropout of 1 leaves nothing to learn from"):
        RecentVRNNConfig((FACE, TARGET), dropout=1.0)
    assert type(build(RecentVRNNConfig((FACE, TARGET), hidden=8, latent=3))) is RecentVRNN
