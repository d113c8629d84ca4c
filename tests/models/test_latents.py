"""Latents by name: swapped between samples or sequences, rolled over them, and on the way to others."""

import copy
import pickle

import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models import DMVAE, MDVAE, MMVRNN, Latents, Modality

torch.set_num_threads(1)

N, T, S = 3, 4, 2
MODALITIES = [Modality("a", 2, likelihood="normal"), Modality("b", 3, likelihood="normal")]


def latents(*front):
    """Of an MDVAE: static w, shared, private ones of a and b; every number is another."""
    axis = len(front)
    shapes = {"w": (N, 2), "shared": (N, T, 3), "a": (N, T, 1), "b": (N, T, 2)}
    start, parts = 0, {}
    for name, shape in shapes.items():
        size = torch.Size((*front, *shape)).numel()
        parts[name] = torch.arange(start, start + size, dtype=torch.float32).reshape(*front, *shape)
        start += size
    return Latents(parts, ("a", "b"), axis, ("w",))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MDVAE(MODALITIES, hidden=5, static=2, shared=3, private=1)


@pytest.fixture(scope="module")
def data():
    g = torch.Generator().manual_seed(1)
    return {m.name: torch.randn(N, T, m.dim, generator=g) for m in MODALITIES}


# A mapping.


def test_latents_are_a_mapping_by_name_and_attribute():
    z = latents()
    assert list(z) == ["w", "shared", "a", "b"]
    assert len(z) == 4
    assert z.shared is z["shared"]
    assert "w" in z
    assert "h" not in z
    assert dict(z)["a"] is z.a
    assert {**z}.keys() == z.keys()
    assert repr(z) == "Latents(w=[3, 2], shared=[3, 4, 3], a=[3, 4, 1], b=[3, 4, 2])"


def test_a_latent_that_is_not_there_is_named():
    z = latents()
    with pytest.raises(AttributeError, match="no latent 'h', only w, shared, a, b"):
        z.h  # noqa: B018
    with pytest.raises(KeyError, match="h"):
        z["h"]
    assert not hasattr(z, "_other")
    assert getattr(z, "ear", None) is None


def test_private_latents_are_by_modality():
    z = latents()
    assert list(z.private) == ["a", "b"]
    assert z.private["b"] is z.b
    assert Latents({"z": torch.zeros(2)}).private == {}


def test_private_latents_of_a_model():
    dmvae = DMVAE([*MODALITIES, Modality("y", 1, role="target")], hidden=[4], shared=2, private=1)
    z = dmvae.encode({"a": torch.zeros(N, 2)})
    assert list(z.private) == ["a", "b"]
    assert torch.equal(z.private["b"], torch.zeros(N, 1))  # missing: the prior's mean
    assert list(z) == ["shared", "a", "b"]


def test_latents_can_be_copied_and_pickled():
    z = latents(S)
    for other in (copy.copy(z), copy.deepcopy(z), pickle.loads(pickle.dumps(z))):
        assert list(other) == list(z)
        assert all(torch.equal(other[k], z[k]) for k in z)
        assert torch.equal(other.roll(1).w, z.roll(1).w)
        assert list(other.private) == ["a", "b"]


# Swapped, rolled.


def test_swapping_takes_one_latent_of_another():
    z = latents()
    other = z.roll(1)
    swapped = z.swap("w", other)
    assert swapped.w is other.w
    assert all(swapped[name] is z[name] for name in ("shared", "a", "b"))
    assert list(swapped) == list(z)
    assert torch.equal(swapped.swap("w", z).w, z.w)
    assert list(swapped.private) == ["a", "b"]
    with pytest.raises(UserError, match="h: no such latent, only w, shared, a, b"):
        z.swap("h", other)
    with pytest.raises(KeyError, match="h"):
        z["h"]


@pytest.mark.parametrize("front", [(), (S,)])
def test_rolling_takes_the_sequence_before_all_latents_together(front):
    z = latents(*front)
    axis = len(front)
    rolled = z.roll(1)
    for name, value in rolled.items():
        for n in range(N):
            assert torch.equal(value.select(axis, n), z[name].select(axis, (n - 1) % N))
    back = rolled.roll(-1)
    assert all(torch.equal(back[name], z[name]) for name in z)
    around = z.roll(N)
    assert all(torch.equal(around[name], z[name]) for name in z)


@torch.no_grad()
@pytest.mark.parametrize("samples", [None, S])
def test_rolled_latents_decode_to_rolled_values(model, data, samples):
    z = model.encode(data, samples=samples)
    axis = 0 if samples is None else 1
    values, rolled = model.decode(z), model.decode(z.roll(1))
    for name, value in values.items():
        torch.testing.assert_close(rolled[name], value.roll(1, axis))


@torch.no_grad()
def test_the_state_of_an_mm_vrnn_rolls_with_its_latents():
    torch.manual_seed(0)
    model = MMVRNN(MODALITIES, hidden=5, latent=2)
    z = model.encode({"a": torch.randn(N, T, 2)}, samples=S)
    assert list(z) == ["z", "h"]
    assert z.private == {}
    torch.testing.assert_close(model.decode(z.roll(1))["b"], model.decode(z)["b"].roll(1, 1))
    assert torch.equal(z.roll(1).h, z.h.roll(1, 1))


# Interpolated.


@pytest.mark.parametrize("front", [(), (S,)])
@pytest.mark.parametrize("name", ["w", "shared", "a"])
def test_one_weight_interpolates_every_sequence(front, name):
    z = latents(*front)
    other = z.roll(1)
    for weight in (0.0, 0.25, 1.0, torch.tensor(0.25), 1):
        between = z.interpolate(name, other, weight)
        torch.testing.assert_close(between[name], torch.lerp(z[name], other[name], float(weight)))
        assert all(between[k] is z[k] for k in z if k != name)
        assert list(between) == list(z)


@pytest.mark.parametrize("front", [(), (S,)])
@pytest.mark.parametrize("name", ["shared", "a"])
def test_weights_over_time_interpolate_a_dynamic_latent(front, name):
    z = latents(*front)
    other = z.roll(1)
    weights = torch.linspace(0, 1, T)
    between = z.interpolate(name, other, weights)[name]
    for t in range(T):
        expected = torch.lerp(z[name][..., t, :], other[name][..., t, :], float(weights[t]))
        torch.testing.assert_close(between[..., t, :], expected)


@pytest.mark.parametrize("front", [(), (S,)])
def test_weights_over_time_make_a_static_latent_change(front):
    z = latents(*front)
    other = z.roll(1)
    weights = torch.linspace(0, 1, T)
    between = z.interpolate("w", other, weights)
    assert between.w.shape == (*front, N, T, 2)
    for t in range(T):
        torch.testing.assert_close(between.w[..., t, :], torch.lerp(z.w, other.w, float(weights[t])))
    # It goes on from there as a latent that changes.
    again = between.interpolate("w", between.roll(1), weights)
    assert again.w.shape == (*front, N, T, 2)
    torch.testing.assert_close(again.w[..., 0, :], z.w)
    torch.testing.assert_close(again.w[..., -1, :], other.roll(1).w)
    half = between.interpolate("w", other, 0.5)  # to one that does not
    assert half.w.shape == (*front, N, T, 2)
    torch.testing.assert_close(half.w[..., -1, :], other.w)
    torch.testing.assert_close(half.w[..., 0, :], (z.w + other.w) / 2)


@torch.no_grad()
@pytest.mark.parametrize("samples", [None, S])
def test_a_static_latent_that_changes_decodes_tick_by_tick(model, data, samples):
    z = model.encode(data, samples=samples)
    other = z.roll(1)
    between = model.decode(z.interpolate("w", other, torch.linspace(0, 1, T)))
    first, last = model.decode(z), model.decode(z.swap("w", other))
    for name, value in between.items():
        assert value.shape == first[name].shape
        torch.testing.assert_close(value[..., 0, :], first[name][..., 0, :])
        torch.testing.assert_close(value[..., -1, :], last[name][..., -1, :])
    drawn = model.draw(z.interpolate("w", other, torch.linspace(0, 1, T)))
    assert all(value.shape == first[name].shape for name, value in drawn.items())


def test_interpolation_keeps_the_type_of_the_latents():
    z = latents()
    assert (
        z.interpolate("w", z.roll(1), torch.linspace(0, 1, T, dtype=torch.float64)).w.dtype == torch.float32
    )
    assert z.interpolate("w", z.roll(1), torch.tensor([0, 0, 1, 1])).w.dtype == torch.float32
