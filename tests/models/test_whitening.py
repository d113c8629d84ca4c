"""A whitened layer: the covariance that its weights see, and how fast it learns a small difference."""

import pytest
import torch
from torch import nn

from enrapt.models import Modality, RecentVRNN, TurnVRNN
from enrapt.models.whitening import LEAST_VARIANCE, WhitenedLinear, folded

OBSERVED = [Modality("face", 3, likelihood="normal"), Modality("voice", 2, likelihood="normal")]
TARGET = Modality("engagement", 1, "target", "logit_normal")


def alike(samples: int = 4000) -> torch.Tensor:
    """Four inputs that share nearly everything, `[N, 4]`."""
    g = torch.Generator().manual_seed(0)
    common, own = torch.randn(samples, 1, generator=g), torch.randn(samples, 4, generator=g)
    return common + 0.3 * own


def layer(kind: type[nn.Linear]) -> nn.Linear:
    torch.manual_seed(1)
    return kind(4, 1)


def test_it_is_a_usual_layer_until_it_is_fitted() -> None:
    torch.testing.assert_close(layer(WhitenedLinear)(alike()), layer(nn.Linear)(alike()))


def test_its_weights_see_inputs_without_covariance() -> None:
    x = alike() + torch.tensor([3.0, -1, 0, 2])
    found = WhitenedLinear(4, 4)
    found.fit(x)
    variances, axes = torch.linalg.eigh(torch.cov(x.T, correction=0))
    expected = (axes * (variances / (variances + LEAST_VARIANCE))) @ axes.T
    torch.testing.assert_close(torch.cov((x @ found.whitening).T, correction=0), expected, atol=1e-4, rtol=0)


def test_it_soon_learns_how_inputs_differ() -> None:
    x = alike()
    y = x[:, :1] - x[:, 1:2]
    errors = {}
    for kind in (nn.Linear, WhitenedLinear):
        found = layer(kind)
        if isinstance(found, WhitenedLinear):
            found.fit(x)
        optimizer = torch.optim.SGD(found.parameters(), lr=0.1)
        for _ in range(30):
            optimizer.zero_grad()
            error = (found(x) - y).square().mean()
            error.backward()
            optimizer.step()
        errors[kind] = error.item()
    assert errors[WhitenedLinear] < 0.2 * errors[nn.Linear]


def test_encoders_are_whitened_once() -> None:
    torch.manual_seed(0)
    model = RecentVRNN([*OBSERVED, TARGET], hidden=8, latent=3, whiten=True)
    layers = [m for m in model.modules() if isinstance(m, WhitenedLinear)]
    assert [one.in_features for one in layers] == [3 + 2 * 7, 2 + 2 * 5]
    data = {"face": torch.randn(3, 40, 3), "voice": torch.randn(3, 40, 2)}
    data["face"][0, 5:9] = torch.nan
    model.fit_normalisation(model.batch(data))
    first = [one.whitening.clone() for one in layers]
    assert not any(torch.equal(one.whitening, torch.eye(one.in_features)) for one in layers)
    model.fit_normalisation(model.batch({name: 2 * x for name, x in data.items()}))
    assert all(torch.equal(one.whitening, before) for one, before in zip(layers, first, strict=True))


def test_folded_it_is_the_same_function_of_usual_layers() -> None:
    found = nn.Sequential(layer(WhitenedLinear), nn.ReLU())
    found[0].fit(alike())
    usual = folded(found)
    assert type(usual[0]) is nn.Linear
    assert usual.state_dict().keys() == {"0.weight", "0.bias"}
    torch.testing.assert_close(usual(alike()), found(alike()))


def test_a_model_of_who_speaks_is_not_whitened() -> None:
    speech = [Modality(name, 1, likelihood="bernoulli") for name in ("own", "partner")]
    with pytest.raises(ValueError, match="is not whitened"):
        TurnVRNN([*speech, TARGET], whiten=True)
