import pytest
import torch
from torch import nn

from enrapt.models.batch import Batch
from enrapt.models.experts import kl_divergence
from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality

B, T = 3, 7
MODALITIES = (
    Modality("a", 5),
    Modality("v", 3, likelihood="normal", weight=2.0),
    Modality("units", 4, likelihood="bernoulli"),
    Modality("kind", 3, likelihood="categorical"),
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = MDVAE(MDVAEConfig(MODALITIES, hidden=16, static=4, shared=3, private=2))
    model.normalise("a", torch.randn(5), torch.rand(5) + 0.5)
    return model


def values(seed=1, batch=B):
    g = torch.Generator().manual_seed(seed)
    x = {m.name: torch.randn(batch, T, m.dim, generator=g) for m in MODALITIES}
    x["units"] = torch.rand(batch, T, 4, generator=g)
    x["kind"] = torch.eye(3)[torch.randint(3, (batch, T), generator=g)]
    mask = {k: torch.rand(batch, T, generator=g) < 0.6 for k in x}
    return x, mask


def noise(model, batch=B, seed=5):
    return model.noise((batch, T), torch.Generator().manual_seed(seed))


def inferred(model, x, mask, draws=None):
    return model.inferred(model.encoded(x, mask), draws).latents


def nothing(mask):
    return {k: torch.zeros_like(v) for k, v in mask.items()}


def everything(mask):
    return {k: torch.ones_like(v) for k, v in mask.items()}


@torch.no_grad()
def test_shapes(model):
    x, mask = values()
    latents = inferred(model, x, mask, noise(model))
    assert {k: tuple(v.sample.shape) for k, v in latents.items()} == {
        "w": (B, 4),
        "shared": (B, T, 3),
        **{m.name: (B, T, 2) for m in MODALITIES},
    }
    decoded = model.decode({k: v.sample for k, v in latents.items()})
    assert {k: v.shape for k, v in decoded.items()} == {k: v.shape for k, v in x.items()}
    torch.testing.assert_close(decoded["kind"].sum(-1), torch.ones(B, T))


@torch.no_grad()
def test_with_nothing_present_every_posterior_is_its_prior_and_every_kl_is_zero(model):
    x, mask = values()
    latents = inferred(model, x, nothing(mask), noise(model))
    for latent in latents.values():
        assert torch.equal(latent.mean, latent.prior_mean)
        assert torch.equal(latent.precision, latent.prior_precision)
    assert all(kl == 0 for kl in model.kl(latents, mask).values())
    assert model.negative_elbo(x, mask, nothing(mask), noise(model), 1.0).kl == 0


@torch.no_grad()
def test_without_future_input_a_posterior_is_its_prior(model):
    x, mask = values()
    mask = {k: v & (torch.arange(T) < 4) for k, v in everything(mask).items()}
    mask["v"] &= torch.arange(T) < 2
    latents = inferred(model, x, mask, noise(model))
    for name, last in (("shared", 4), ("a", 4), ("v", 2)):
        same = (latents[name].mean == latents[name].prior_mean).all(-1).all(0)
        assert same.tolist() == [t >= last for t in range(T)]


@torch.no_grad()
def holding(model, x, mask, samples):
    """The latents of x, with noise that gives these samples."""
    draws = model.noise((B, T), None)
    for _ in range(2 * T + 1):  # w is right first, then shared tick by tick, then the private ones
        latents = inferred(model, x, mask, draws)
        draws = {k: (samples[k] - v.mean) * v.precision.sqrt() for k, v in latents.items()}
    return inferred(model, x, mask, draws)


@torch.no_grad()
def test_given_earlier_latents_a_posterior_depends_on_later_values_only(model):
    x, mask = values()
    mask = everything(mask)
    before = inferred(model, x, mask, noise(model))
    samples = {k: v.sample for k, v in before.items()}
    for t in (1, 4):
        earlier = {k: torch.cat([v[:, :t].flip(0), v[:, t:]], 1) for k, v in x.items()}
        later = {k: torch.cat([v[:, :t], v[:, t:].flip(0)], 1) for k, v in x.items()}
        same, other = holding(model, earlier, mask, samples), holding(model, later, mask, samples)
        for name in ("shared", "a", "v"):
            torch.testing.assert_close(same[name].mean[:, t:], before[name].mean[:, t:], rtol=1e-3, atol=1e-4)
            assert (other[name].mean[:, t] - before[name].mean[:, t]).abs().max() > 1e-3
        assert (same["w"].mean - before["w"].mean).abs().max() > 1e-3  # w follows all of x_{1:T}


@torch.no_grad()
def test_a_later_value_changes_an_earlier_posterior(model):
    x, mask = values()
    mask = everything(mask)
    later = {k: v.clone() for k, v in x.items()}
    later["a"][:, -1] += 1
    before, after = inferred(model, x, mask), inferred(model, later, mask)
    assert not torch.equal(before["shared"].mean[:, 0], after["shared"].mean[:, 0])


@torch.no_grad()
def test_a_private_latent_of_a_missing_modality_is_its_prior(model):
    x, mask = values()
    mask["v"] = torch.zeros_like(mask["v"])
    latents = inferred(model, x, mask, noise(model))
    assert torch.equal(latents["v"].mean, latents["v"].prior_mean)
    assert not torch.equal(latents["a"].mean, latents["a"].prior_mean)


@torch.no_grad()
def test_a_modality_left_out_is_one_masked_throughout(model):
    x, mask = values()
    mask["v"] = torch.zeros_like(mask["v"])
    whole = inferred(model, x, mask, noise(model))
    del x["v"], mask["v"]
    less = inferred(model, x, mask, noise(model))
    assert all(torch.equal(whole[k].sample, less[k].sample) for k in whole)


@torch.no_grad()
def test_generate_samples_the_prior(model):
    generated = model.generate(B, T, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    draws = {k: v.flatten(0, 1) for k, v in model.noise((1, T), generator, B).items()}
    x, mask = values()
    z = {k: v.sample for k, v in inferred(model, x, nothing(mask), draws).items()}
    assert torch.equal(z["w"], draws["w"])
    drawn = model.draw(z, generator=generator)
    assert set(generated) == set(x)
    for name, value in generated.items():
        torch.testing.assert_close(value, drawn[name])


@torch.no_grad()
def test_a_posterior_is_at_least_as_precise_as_its_prior(model):
    latents = inferred(model, *values(), noise(model))
    assert all((latent.precision >= latent.prior_precision).all() for latent in latents.values())


def loss_and_gradients(model, x, available, fed):
    model.zero_grad()
    losses = model.negative_elbo(x, available, fed, noise(model), 0.7)
    losses.total.backward()
    return losses.total.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_nan_under_the_mask_changes_nothing_gradients_included(model):
    x, available = values()
    fed = {k: v & (torch.arange(T) % 2 == 0) for k, v in available.items()}
    spoilt = {k: torch.where(available[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    total, gradients = loss_and_gradients(model, x, available, fed)
    again, same = loss_and_gradients(model, spoilt, available, fed)
    assert torch.equal(total, again)
    assert all(torch.equal(g, s) for g, s in zip(gradients, same, strict=True))
    assert all(torch.isfinite(g).all() for g in gradients)


@torch.no_grad()
def test_the_loss_does_not_depend_on_batch_size_padding_nor_on_the_order_of_the_dictionary(model):
    x, available = values()
    total = model.negative_elbo(x, available, available, noise(model), 0.7).total

    def twice(v):
        return {k: torch.cat([t, t]) for k, t in v.items()}

    again = model.negative_elbo(twice(x), twice(available), twice(available), twice(noise(model)), 0.7).total
    torch.testing.assert_close(again, total)

    masks = {k: torch.cat([v, torch.zeros(B, 2, dtype=torch.bool)], 1) for k, v in available.items()}
    draws = {k: v if k == "w" else torch.cat([v, v[:, :2]], 1) for k, v in noise(model).items()}
    longer = {k: torch.cat([v, v[:, :2]], 1) for k, v in x.items()}
    torch.testing.assert_close(model.negative_elbo(longer, masks, masks, draws, 0.7).total, total)

    backwards = [{k: v[k] for k in reversed(v)} for v in (x, available, noise(model))]
    assert torch.equal(
        model.negative_elbo(backwards[0], backwards[1], backwards[1], backwards[2], 0.7).total, total
    )


@torch.no_grad()
def test_the_total_is_its_parts_and_the_kl_that_of_gaussians(model):
    x, mask = values()
    mask = everything(mask)
    losses = model.negative_elbo(x, mask, mask, noise(model), 0.7)
    parts = sum(m.weight * losses.nll[m.name] for m in MODALITIES) + 0.7 * losses.kl
    torch.testing.assert_close(losses.total, parts)
    latents = inferred(model, x, mask, noise(model))
    kl, w = model.kl(latents, mask), latents["w"]
    assert list(kl) == list(latents)
    torch.testing.assert_close(losses.kl, sum(kl.values()))
    zero = torch.zeros_like(w.mean)
    torch.testing.assert_close(kl["w"] * T, kl_divergence(w.mean, w.precision, zero, zero + 1).mean())


@torch.no_grad()
def test_a_dropped_modality_is_still_reconstructed(model):
    x, available = values()
    fed = available | {"a": torch.zeros_like(available["a"])}
    losses = model.negative_elbo(x, available, fed, noise(model), 1.0)
    assert losses.nll["a"] != 0
    assert model.kl(inferred(model, x, fed, noise(model)), available)["a"] == 0


@torch.no_grad()
def test_swapping_the_static_latent_changes_nothing_else(model):
    x, mask = values()
    z = model.encode(Batch(x, mask), samples=1, generator=torch.Generator().manual_seed(5))
    swapped = model.decode(z.swap("w", z.roll(1)))
    rolled = model.decode(z.roll(-1).swap("w", z))
    for name, value in swapped.items():
        torch.testing.assert_close(value, rolled[name].roll(1, 1))


@torch.no_grad()
def test_a_static_attribute_moves_from_that_of_one_sequence_to_that_of_another():
    decoder = nn.Linear(3, 3)  # from w, shared
    nn.init.eye_(decoder.weight)
    nn.init.zeros_(decoder.bias)
    torch.manual_seed(0)
    model = MDVAE([Modality("a", 3, scale=1.0, decoder=decoder)], hidden=8, static=2, shared=1, private=0)
    z = model.encode({"a": torch.randn(B, T, 3)})
    own, other = model.decode(z)["a"], model.decode(z.roll(1))["a"]
    decoded = model.decode(z.interpolate("w", z.roll(1), torch.linspace(0, 1, T)))["a"]
    static = decoded[..., :2]
    torch.testing.assert_close(static[:, 0], own[:, 0, :2])
    torch.testing.assert_close(static[:, T // 2], (own[:, 0, :2] + other[:, 0, :2]) / 2)
    torch.testing.assert_close(static[:, -1], other[:, 0, :2])
    assert (own - other)[:, 0, :2].abs().min() > 1e-3
    torch.testing.assert_close(decoded[..., 2], own[..., 2])  # what changes over time is as it was


@torch.no_grad()
def test_moving_w_starts_with_the_own_sequence_and_ends_with_w_swapped(model):
    z = model.encode(Batch(*values()))
    moving = model.decode(z.interpolate("w", z.roll(1), torch.linspace(0, 1, T)))
    own, swapped = model.decode(z), model.decode(z.swap("w", z.roll(1)))
    for name, value in moving.items():
        torch.testing.assert_close(value[:, 0], own[name][:, 0])
        torch.testing.assert_close(value[:, -1], swapped[name][:, -1])
        assert not torch.allclose(value[:, T // 2], own[name][:, T // 2])


def test_static_and_private_latents_can_be_left_out():
    model = MDVAE(MDVAEConfig(MODALITIES[:1], hidden=8, static=0, shared=2, private=0))
    x, mask = ({"a": by_name["a"]} for by_name in values())
    losses = model.negative_elbo(x, mask, mask, noise(model), 1.0)
    losses.total.backward()
    assert list(model.kl(inferred(model, x, mask, noise(model)), mask)) == ["shared"]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": ()},
        {"modalities": (Modality("shared", 2),)},
        {"modalities": (Modality("a", 2), Modality("a", 3))},
        {"modalities": (Modality("a", 2, role="target"),)},
        {"modalities": (Modality("a", 2),), "shared": 0},
        {"modalities": (Modality("a", 2),), "private": -1},
    ],
)
def test_invalid_sizes_are_rejected(wrong):
    with pytest.raises(ValueError, match=r"must|Expected"):
        MDVAEConfig(**wrong)
