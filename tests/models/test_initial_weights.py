"""A model's first loss is that of a plain guess, and training does not explode."""

import math

import pytest
import torch
from torch import nn

from enrapt.models import DMVAE, MVAE, Modality, fit

torch.set_num_threads(1)

GUESS = 0.5 * math.log(2 * math.pi) + 0.5  # nats of a standardised value under N(0, 1)


def correlated(count, seed=0):
    """40 values of few causes, some of them nearly constant, as action units are."""
    g = torch.Generator().manual_seed(seed)
    causes = torch.randn(count, 4, generator=g) ** 2
    mixed = causes @ torch.rand(4, 40, generator=g) + 0.05 * torch.randn(count, 40, generator=g)
    return {"a": mixed[:, :20], "b": mixed[:, 20:]}


@pytest.mark.parametrize("likelihood", ["normal", "laplace"])
@pytest.mark.parametrize("kind", [MVAE, DMVAE])
@torch.no_grad()
def test_the_first_loss_is_that_of_a_plain_guess(kind, likelihood):
    data = correlated(2000)
    modalities = [Modality(name, 20, likelihood=likelihood) for name in data]
    torch.manual_seed(0)
    model = kind(modalities)
    model.fit_normalisation(model.checked(data))
    losses = model.loss(data, generator=torch.Generator().manual_seed(1))
    elbos = 2 if kind is MVAE else 3  # in which each modality is reconstructed
    assert sum(losses.nll.values()) < 1.5 * elbos * 40 * GUESS


@pytest.mark.parametrize("kind", [MVAE, DMVAE])
def test_a_high_learning_rate_without_clipping_does_not_explode(kind):
    torch.manual_seed(0)
    model = kind([Modality("a", 20, likelihood="normal"), Modality("b", 20, likelihood="normal")])
    history = fit(model, correlated(2000), batch=100, epochs=3, lr=1e-2, clip=1e6)
    assert all(epoch["loss"] < 4 * 40 * 3 * GUESS for epoch in history)
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("kind", [MVAE, DMVAE])
@torch.no_grad()
def test_first_precisions_depend_on_the_data_only_with_a_users_encoder(kind):
    own = Modality("own", 20, likelihood="normal")
    user = Modality("user", 20, likelihood="normal", encoder=nn.Sequential(nn.Linear(20, 30), nn.ReLU()))
    torch.manual_seed(0)
    encoder = kind([own, user]).encoder
    x = torch.randn(50, 20)
    spread = {name: encoder[name](x).chunk(2, -1)[1].std(0) for name in ("own", "user")}
    assert not spread["own"].any()
    assert (spread["user"] > 0).all()
    assert (spread["user"] < 0.5).all()
