"""Every model in double precision, on a device without memory, and on a GPU where there is one."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from enrapt.models.batch import Batch
from enrapt.models.causal import Causal
from enrapt.models.forward_filter import ForwardFilter
from tests.support.every_model import FEW, MODELS, N, T, build, data_of

torch.set_num_threads(1)

GPU = ["cuda"] if torch.cuda.is_available() else []


def tensors(value) -> Iterator[Tensor]:
    """Those in tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, tuple):
        for part in value:
            yield from tensors(part)


def results(model, data, generator=None) -> Iterator[tuple[str, Tensor]]:
    """Everything that a model gives, by what gave it."""
    name, *others = (m.name for m in model.modalities)
    ticks = () if model.axes == 1 else (3,)
    z = model.encode(data)
    with torch.no_grad():
        calls = {
            "encode": dict(z),
            "encode some": dict(model.encode(data, [name])),
            "encode samples": dict(model.encode(data, samples=2, generator=generator)),
            "decode": model.decode(z),
            "draw": model.draw(z, generator=generator),
            "generate": model.generate(2, *ticks, generator=generator),
            "log_likelihood": model.log_likelihood(data, samples=3, chunk=2, generator=generator),
        }
        if others:
            options = {"samples": 2, "generator": generator}
            calls["log_likelihood given"] = model.log_likelihood(data, [name], others[:2], **options)
        if model.axes == 2:
            calls["generate after"] = model.generate(2, 3, data, generator)
        if isinstance(model, Causal):
            calls["initial_state"] = model.initial_state(N)
            calls["filter"] = first = model.filter(data)
            calls["filter on"] = model.filter(data, first.state)
    calls["loss"] = losses = model.loss(data, beta=0.5, generator=generator)
    if losses.state:
        calls["loss on"] = model.loss(data, state=losses.state, generator=generator)
    model.zero_grad()
    losses.total.backward()
    calls["gradients"] = tuple(p.grad for p in model.parameters() if p.grad is not None)
    assert calls["gradients"]
    for call, found in calls.items():
        for tensor in tensors(found):
            yield call, tensor


@pytest.mark.parametrize("name", MODELS)
def test_in_double_precision_all_results_are_double(name):
    model = build(name, FEW).double()
    for call, tensor in results(model, data_of(model), torch.Generator().manual_seed(0)):
        assert tensor.dtype == torch.float64, call


@pytest.mark.parametrize("name", MODELS)
def test_in_double_precision_the_results_are_those_of_single_precision(name):
    """Of everything without draws; data in double precision are fine for a model in single precision."""
    model, data = build(name, FEW), data_of(build(name, FEW))
    single = dict(model.encode({k: v.double() for k, v in data.items()}))
    double = model.double().encode(data)
    for latent, value in single.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(double[latent].float(), value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", ["meta", *GPU])
@pytest.mark.parametrize("name", MODELS)
def test_all_results_are_on_the_models_device(name, device):
    """With data, and a generator, of the CPU or not. A VQ-VAE's codebook is left as it is: its update depends
    on values, which `meta` does not have."""
    model = build(name, FEW).to(device)
    data = data_of(model)
    there = {k: v.to(device) for k, v in data.items()}
    for call, tensor in results(model, there):
        assert tensor.device.type == device, call
        assert tensor.dtype == torch.float32, call
    for values in (data, Batch(*model.checked(data))):
        draws = torch.Generator().manual_seed(0)
        z = model.encode(values, samples=2, generator=draws)
        found = model.draw(z, generator=draws), model.loss(values, generator=draws).total
        assert {tensor.device.type for tensor in tensors((dict(z), *found))} == {device}


@pytest.mark.parametrize("device", ["cpu", *GPU])
@pytest.mark.parametrize("name", MODELS)
def test_every_device_gives_the_results_of_the_cpu(name, device):
    """With a generator of the CPU draws are the same; the tolerance is that of other orders of sums."""
    here, there = build(name, FEW), build(name, FEW).to(device)
    found, expected = (list(results(m, data_of(m), torch.Generator().manual_seed(0))) for m in (there, here))
    for (call, one), (_, other) in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-2, atol=1e-2, msg=call)
    draws = torch.Generator(device).manual_seed(0)
    assert all(tensor.device.type == device for _, tensor in results(there, data_of(there), draws))
    assert there.train().loss(data_of(there), generator=draws).total.isfinite()


@pytest.mark.parametrize("device", ["meta", *GPU])
@pytest.mark.parametrize("name", MODELS)
def test_models_are_made_on_a_default_device(name, device):
    with torch.device(device):
        model = MODELS[name](FEW)
    assert {t.device.type for t in model.state_dict().values()} == {device}
    assert model.loss(data_of(model)).total.device.type == device if "vq_vae" not in name else True


def test_a_filter_is_of_the_device_and_type_of_its_smoother():
    for place in (torch.device("meta"), torch.float64):
        smoother = build("mdvae", FEW).to(place)
        found = ForwardFilter(smoother, hidden=5).filter(data_of(smoother))
        assert found.mean.shape == (N, T, sum(smoother.sizes.values()))
        assert place in (found.mean.device, found.mean.dtype)
