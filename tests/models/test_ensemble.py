"""An ensemble: of one model or of equal ones it is that model; its moments, state, and losses. Graph:
`export/test_write.py`."""

import math

import numpy as np
import pytest
import torch

from enrapt.models import MMVRNN, Ensemble, Modality, RecentVRNN, TurnVRNN, fit, load
from enrapt.models.calibration import reset
from enrapt.models.config import build
from enrapt.models.ensemble import EnsembleConfig
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.target import HALF_WIDTH

OBSERVED = [Modality("voice", 3, likelihood="normal"), Modality("here", 1, likelihood="bernoulli")]
TARGETS = [
    Modality(f"{kind}", dim, "target", kind)
    for kind, dim in (
        ("normal", 2),
        ("laplace", 1),
        ("logit_normal", 1),
        ("bernoulli", 2),
        ("categorical", 3),
    )
]
N, T = 3, 12


def member(seed: int) -> MMVRNN:
    torch.manual_seed(seed)
    model = MMVRNN([*OBSERVED, *TARGETS], hidden=7, latent=3).eval()
    model.normalise("voice", torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 1, 4]))
    model.normalise("normal", torch.tensor([5.0, -1]), torch.tensor([2.0, 3]))
    return model


def data(missing: bool = True) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(4)
    voice = torch.randn(N, T, 3, generator=g)
    here = (torch.rand(N, T, 1, generator=g) < 0.5).float()
    if missing:
        voice[0, 3:6] = torch.nan
        here[1, 2:9] = torch.nan
    return {"voice": voice, "here": here}


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_its_members_may_see_the_recent_past() -> None:
    torch.manual_seed(0)
    alone = RecentVRNN([*OBSERVED, *TARGETS], hidden=7, latent=3).eval()
    alone.fit_normalisation(alone.batch(data()))
    both = [model.filter(data()).prediction["normal"] for model in (alone, Ensemble([alone, alone]))]
    for one, several in zip(*both, strict=True):
        close(one, several)
    assert type(build(EnsembleConfig(alone.config, 2)).members[0]) is RecentVRNN


@pytest.mark.parametrize("count", [1, 4])
@torch.no_grad()
def test_of_equal_members_it_is_that_model(count: int) -> None:
    alone = member(0)
    ensemble = Ensemble([alone] * count)
    one, several = alone.filter(data()), ensemble.filter(data())
    for m in TARGETS:
        for expected, found in zip(one.prediction[m.name], several.prediction[m.name], strict=True):
            close(found, expected)
    for m in OBSERVED:
        close(several.surprise[m.name], one.surprise[m.name])
    assert several.mean.shape[-1] == count * one.mean.shape[-1]
    for expected, found in zip(one.state, several.state, strict=True):
        close(found, expected.repeat(1, count))
    close(ensemble.encode(data()).z, several.mean)
    decoded = ensemble.decode({"z": several.mean} | several.context)
    for name, expected in alone.decode({"z": one.mean} | one.context).items():
        close(decoded[name], expected)


@torch.no_grad()
def test_the_moments_are_those_of_the_mixture() -> None:
    members = [member(k) for k in range(3)]
    parts = [one.filter(data()).prediction for one in members]
    found = Ensemble(members).filter(data()).prediction
    for name in ("normal", "laplace"):
        means, variances = (torch.stack([getattr(p[name], of) for p in parts]) for of in ("mean", "std"))
        close(found[name].mean, means.mean(0))
        close(found[name].std ** 2, (variances**2).mean(0) + means.var(0, unbiased=False))
        close(found[name].high - found[name].mean, HALF_WIDTH * found[name].std)
    logits = [torch.logit(torch.stack([p["logit_normal"].low, p["logit_normal"].high])) for p in parts]
    location = torch.stack([v.mean(0) for v in logits])
    scale = torch.stack([(v[1] - v[0]) / 2 / HALF_WIDTH for v in logits])
    reach = HALF_WIDTH * torch.sqrt((scale**2).mean(0) + location.var(0, unbiased=False))
    close(found["logit_normal"].low, torch.sigmoid(location.mean(0) - reach))
    close(found["logit_normal"].high, torch.sigmoid(location.mean(0) + reach))


@torch.no_grad()
def test_the_surprise_and_the_likelihood_are_those_of_the_mixture() -> None:
    members = [member(k) for k in range(2)]
    ensemble = Ensemble(members)
    for name in ("voice", "here"):
        nats = torch.stack([one.filter(data()).surprise[name] for one in members])
        close(ensemble.filter(data()).surprise[name], -torch.log(torch.exp(-nats).mean(0)))
    generator = torch.Generator().manual_seed(1)
    one, other = (model.log_likelihood(data(), samples=5, generator=generator) for model in members)
    both = ensemble.log_likelihood(data(), samples=5, generator=generator.manual_seed(1))
    close(both, torch.logaddexp(one, other) - math.log(2))


@torch.no_grad()
def test_tick_by_tick_gives_what_the_whole_sequence_gives() -> None:
    ensemble = Ensemble([member(k) for k in range(3)])
    whole, state, low = ensemble.filter(data()), ensemble.initial_state(N), []
    batch = ensemble.batch(data())
    for t in range(T):
        step = ensemble.filter(batch.map(lambda v, t=t: v[:, t : t + 1]), state)
        state = step.state
        low.append(step.prediction["logit_normal"].low)
    close(torch.cat(low, 1), whole.prediction["logit_normal"].low)
    close(state[0], whole.state[0])


@torch.no_grad()
def test_its_factor_widens_the_whole_mixture_and_a_members_does_not() -> None:
    members = [member(k) for k in range(2)]
    before = Ensemble(members).filter(data()).prediction["normal"].std
    for one in members:
        one.widening(one.by_name["normal"]).fill_(7.0)
    ensemble = Ensemble(members)
    close(ensemble.filter(data()).prediction["normal"].std, before)
    ensemble.widening(ensemble.by_name["normal"]).fill_(2.0)
    close(ensemble.filter(data()).prediction["normal"].std, 2 * before)
    reset(ensemble)
    assert ensemble.widening(ensemble.by_name["normal"]) == 1


def test_each_member_is_trained_as_if_it_were_alone() -> None:
    ensemble = Ensemble([member(k) for k in range(2)])
    batch = ensemble.batch(data() | {"logit_normal": torch.full((N, T, 1), 0.3)})
    losses = ensemble.loss(batch, generator=torch.Generator().manual_seed(2))
    losses.total.backward()
    alone, generator = [member(k) for k in range(2)], torch.Generator().manual_seed(2)
    expected = [one.loss(batch, generator=generator) for one in alone]
    close(losses.total, (expected[0].total + expected[1].total) / 2)
    close(losses.nll["logit_normal"], (expected[0].nll["logit_normal"] + expected[1].nll["logit_normal"]) / 2)
    for one, found, copied in zip(alone, expected, ensemble.models, strict=True):
        found.total.backward()
        close(copied.from_h.weight.grad * 2, one.from_h.weight.grad)


def test_it_is_fitted_kept_and_loaded(tmp_path) -> None:
    torch.manual_seed(0)
    ensemble = Ensemble(EnsembleConfig(MMVRNNConfig((*OBSERVED, TARGETS[2]), hidden=6, latent=2), 2))
    known = data() | {"logit_normal": torch.full((N, T, 1), 0.3)}
    assert math.isfinite(fit(ensemble, known, epochs=2, device="cpu", folder=tmp_path / "run")[-1]["loss"])
    for one in ensemble.models:
        assert torch.equal(one.center_voice, ensemble.center_voice)
        assert one.center_voice.any()
    again = load(tmp_path / "run")
    assert isinstance(again, Ensemble)
    one, other = (m.eval().filter(data()).prediction["logit_normal"].mean for m in (ensemble, again))
    assert torch.equal(one, other)
    assert again.generate(4, 5)["voice"].shape == (4, 5, 3)
    z = {"z": torch.zeros(2, N, T, 4), "h": torch.zeros(2, N, T, 12)}
    assert again.draw(z)["here"].shape == (2, N, T, 1)


def test_members_of_who_speaks_have_two_states() -> None:
    two = [Modality(name, 1, likelihood="bernoulli") for name in ("own", "partner")]
    ensemble = Ensemble([TurnVRNN([*two, TARGETS[2]], hidden=5, latent=2) for _ in range(3)])
    assert ensemble.states == ("h", "traces")
    assert [s.shape[1] for s in ensemble.initial_state(2)] == [15, 3 * (9 * 4 + 2)]
    speech = {name: np.ones((2, 6, 1)) for name in ("own", "partner")}
    assert ensemble.filter(speech).prediction["logit_normal"].mean.shape == (2, 6, 1)


def test_members_must_fit_each_other() -> None:
    other = member(1)
    other.normalise("voice", torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match="voice is not"):
        Ensemble([member(0), other])
    with pytest.raises(ValueError, match="one configuration"):
        Ensemble([member(0), MMVRNN(OBSERVED, hidden=7, latent=3)])
    with pytest.raises(ValueError, match="one configuration"):
        Ensemble([])


def test_members_may_each_have_been_given_their_own_networks() -> None:
    def own(width: int) -> MMVRNN:
        network = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.ReLU())
        voice = Modality("voice", 3, likelihood="normal", encoder=network)
        return MMVRNN([voice, *OBSERVED[1:], *TARGETS], hidden=7, latent=3).eval()

    found = Ensemble([own(5), own(5)]).eval().filter(data()).prediction
    assert found["normal"].mean.isfinite().all()
    with pytest.raises(ValueError, match="one configuration"):
        Ensemble([own(5), own(6)])


def test_it_is_built_from_a_configuration() -> None:
    model = build(EnsembleConfig(MMVRNNConfig((*OBSERVED, *TARGETS), hidden=6, latent=2), 4))
    assert isinstance(model, Ensemble)
    assert len(model.models) == 4
    assert not torch.equal(model.models[0].from_h.weight, model.models[1].from_h.weight)
