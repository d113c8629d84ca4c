import msgspec
import pytest
import torch

from enrapt.models.batch import Batch
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality

B, T = 3, 9


def model_of(fusion):
    torch.manual_seed(0)
    config = MMVRNNConfig(
        (
            Modality("a", 5),
            Modality("b", 3, likelihood="normal"),
            Modality("role", 2, role="context"),
            Modality("engagement", 1, role="target", likelihood="logit_normal", weight=10.0),
        ),
        hidden=16,
        latent=4,
        fusion=fusion,
    )
    model = MMVRNN(config)
    model.normalise("a", torch.randn(5), torch.rand(5) + 0.5)
    return model


@pytest.fixture(scope="module", params=["experts", "zeros", "token"])
def model(request):
    return model_of(request.param)


@pytest.fixture(scope="module")
def product():
    return model_of("experts")


def values(seed=1, ticks=T, batch=B):
    g = torch.Generator().manual_seed(seed)
    x = {k: torch.randn(batch, ticks, d, generator=g) for k, d in (("a", 5), ("b", 3), ("role", 2))}
    x["engagement"] = torch.rand(batch, ticks, 1, generator=g)
    mask = {k: torch.rand(batch, ticks, generator=g) < 0.6 for k in x}
    return x, mask


def draws(seed=5):
    return {"z": torch.randn(B, T, 4, generator=torch.Generator().manual_seed(seed))}


def engagement(filtered):
    return filtered.prediction["engagement"].mean


def inputs(x, mask):
    return {k: v for k, v in x.items() if k != "engagement"}, {
        k: v for k, v in mask.items() if k != "engagement"
    }


@torch.no_grad()
def test_with_nothing_present_the_posterior_is_the_prior(product):
    model = product
    x, mask = values()
    nothing = {k: torch.zeros_like(v) for k, v in mask.items()}
    z = model.inferred(model.encoded(x, nothing), None).latents["z"]
    assert torch.equal(z.mean, z.prior_mean)
    assert torch.equal(z.precision, z.prior_precision)


@torch.no_grad()
def test_a_modality_left_out_is_one_masked_throughout(model):
    x, mask = inputs(*values())
    mask["b"] = torch.zeros_like(mask["b"])
    whole = model.filter(Batch(x, mask))
    del x["b"], mask["b"]
    less = model.filter(Batch(x, mask))
    torch.testing.assert_close(engagement(whole), engagement(less))
    torch.testing.assert_close(whole.state, less.state)


def loss_and_gradients(model, x, available, fed):
    model.zero_grad()
    losses = model.negative_elbo(x, available, fed, (), draws(), 0.7)
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


def test_the_loss_does_not_depend_on_batch_size_nor_on_the_order_of_the_dictionary(model):
    x, available = values()
    total, _ = loss_and_gradients(model, x, available, available)
    twice = {k: torch.cat([v, v]) for k, v in x.items()}
    masks = {k: torch.cat([v, v]) for k, v in available.items()}
    noise = {"z": torch.cat([draws()["z"]] * 2)}
    losses = model.negative_elbo(twice, masks, masks, (), noise, 0.7)
    torch.testing.assert_close(losses.total.detach(), total)
    backwards = {k: x[k] for k in reversed(x)}, {k: available[k] for k in reversed(available)}
    assert torch.equal(loss_and_gradients(model, backwards[0], backwards[1], backwards[1])[0], total)


@pytest.mark.parametrize("free_nats", [0.0, 0.1])
def test_the_loss_does_not_depend_on_padding(model, free_nats):
    model = MMVRNN(msgspec.structs.replace(model.config, free_nats=free_nats))
    x, available = values()
    available["engagement"][:, -1] = True  # the last tick is part of every sequence
    losses = model.negative_elbo(x, available, available, (), draws(), 0.7)
    longer = {k: torch.cat([v, torch.full((B, 5, v.shape[-1]), torch.nan)], 1) for k, v in x.items()}
    masks = {k: torch.cat([v, torch.zeros(B, 5, dtype=torch.bool)], 1) for k, v in available.items()}
    noise = {"z": torch.cat([draws()["z"], torch.randn(B, 5, 4)], 1)}
    padded = model.negative_elbo(longer, masks, masks, (), noise, 0.7)
    torch.testing.assert_close(padded.total, losses.total)


def test_free_nats_are_a_lower_bound_per_dimension(product):
    x, available = values()
    arguments = (x, available, available, (), {"z": torch.zeros(B, T, 4)}, 1.0)
    plain = product.negative_elbo(*arguments)
    for free in (0.0, 1e-3, 50.0):
        freed = MMVRNN(msgspec.structs.replace(product.config, free_nats=free))
        freed.load_state_dict(product.state_dict())
        kl = freed.negative_elbo(*arguments).kl
        assert kl >= plain.kl - 1e-5
        assert kl >= free * 4 - 1e-5
    assert kl == 200.0  # nothing but the free ones


def test_a_dropped_modality_is_still_reconstructed(model):
    x, available = values()
    fed = available | {"a": torch.zeros_like(available["a"])}
    losses = model.negative_elbo(x, available, fed, (), {"z": torch.zeros(B, T, 4)}, 1.0)
    assert losses.nll["a"].item() != 0


@torch.no_grad()
def test_streaming_equals_the_whole_sequence(model):
    x, mask = inputs(*values())
    whole = model.filter(Batch(x, mask))
    state = model.initial_state(B)
    for t, tick in enumerate(Batch(x, mask).segments(1)):
        one = model.filter(tick, state)
        torch.testing.assert_close(engagement(one)[:, 0], engagement(whole)[:, t])
        torch.testing.assert_close(one.surprise["a"][:, 0], whole.surprise["a"][:, t])
        state = one.state
    torch.testing.assert_close(state, whole.state)


@torch.no_grad()
def test_new_input_never_changes_old_output(model):
    x, mask = inputs(*values())
    before = engagement(model.filter(Batch(x, mask)))
    later = {k: v.clone() for k, v in x.items()}
    for v in later.values():
        v[:, 5:] += 3
    after = engagement(model.filter(Batch(later, mask)))
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


@torch.no_grad()
def test_observations_increase_the_precision_of_z(product):
    model = product
    x, mask = inputs(*values())
    blind = {k: torch.zeros_like(v) for k, v in mask.items()}
    seen = model.inferred(model.encoded(x, mask), None).latents["z"]
    unseen = model.inferred(model.encoded(x, blind), None).latents["z"]
    # At the first tick both start from the same state, so only the observations differ.
    assert (seen.precision[:, 0] >= unseen.precision[:, 0]).all()
