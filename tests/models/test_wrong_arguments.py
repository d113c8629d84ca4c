"""What cannot be meant is refused by every public method of every model, in one line that names it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from enrapt.contracts.errors import UserError
from enrapt.models import (
    MDVAE,
    MVAE,
    Batch,
    Causal,
    EarlyStopping,
    ForwardFilter,
    Modality,
    coherence,
    conditional_accuracy,
    evaluate,
    fit,
)
from tests.support.every_model import N, build, data_of, leading

torch.set_num_threads(1)
SOME = ("mvae", "dmvae", "mm_vrnn of experts", "mdvae", "forward filter", "vq_vae of images")


@pytest.fixture(scope="module", params=SOME)
def model(request):
    return build(request.param)


def refused(call, *arguments, match, **options):
    with pytest.raises(UserError, match=match) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def sequences(model):
    return () if model.axes == 1 else (2,)  # ticks of what is generated


@pytest.mark.parametrize("number", [0, -1, 1.5, "3", True])
def test_numbers_that_are_not_whole_or_too_few(model, number):
    data = data_of(model)
    refused(model.encode, data, samples=number, match="samples: expected a whole number, at least 1, found")
    refused(model.generate, number, *sequences(model), match="count: expected a whole number")
    if model.axes == 2:
        refused(model.generate, 2, number, match="ticks: expected a whole number")
    if len(model.modalities) > 1:
        refused(model.log_likelihood, data, samples=number, match="samples: expected a whole number")
        refused(model.log_likelihood, data, chunk=number, match="chunk: expected a whole number")
    if isinstance(model, Causal) and model.axes == 2 and number not in (0, True):
        refused(model.initial_state, number, match="batch: expected a whole number, at least 0")


def test_a_seed_is_no_generator(model):
    data = data_of(model)
    z = model.encode(data)
    text = r"generator: expected torch.Generator\(\).manual_seed\(SEED\), found 0"
    refused(model.encode, data, samples=2, generator=0, match=text)
    refused(model.draw, z, generator=0, match=text)
    refused(model.generate, 2, *sequences(model), generator=0, match=text)
    if len(model.modalities) > 1:
        refused(model.log_likelihood, data, samples=2, generator=0, match=text)
    if model.axes == 1:  # the second argument of models of samples
        refused(model.generate, 2, 10, match="generator")


def test_names_are_a_list(model):
    data, name = data_of(model), model.modalities[0].name
    z = model.encode(data)
    for call in (
        lambda names: model.encode(data, given=names),
        lambda names: model.decode(z, of=names),
        lambda names: model.draw(z, of=names),
        lambda names: model.log_likelihood(data, of=names),
        lambda names: model.log_likelihood(data, given=names),
    ):
        refused(call, name, match=f"expected a list of names of modalities, found '{name}'")
        refused(call, 3, match="expected a list of names of modalities, found 3")


def test_a_context_is_not_decoded():
    model = build("mm_vrnn of experts")
    data = data_of(model)
    text = "role: a context is an input, and is not decoded"
    refused(model.decode, model.encode(data), ["role"], match=text)
    refused(model.draw, model.encode(data), ["normal", "role"], match=text)
    refused(model.log_likelihood, data, ["role"], match=text)


def test_modalities_both_asked_and_given(model):
    data, first = data_of(model), model.modalities[0].name
    refused(model.log_likelihood, data, [first], [first], match=f"{first}: in `of` and in `given`")
    every = [m.name for m in model.modalities]
    refused(model.log_likelihood, data, given=every, match="no modality is left whose likelihood is asked")
    refused(model.log_likelihood, data, of=[], match="no modality is left")
    if len(every) > 1:
        absent = f"{every[1]}: in `of`, and not among the data"
        refused(model.log_likelihood, {first: data[first]}, of=[every[1]], match=absent)


def test_latents_that_are_not_of_the_model(model):
    z = dict(model.encode(data_of(model)))
    name = list(z)[-1] if "h" not in z else "z"
    for wrong, text in (
        (None, "z: expected latents by name, as encode returns them, found NoneType"),
        (z[name], "z: expected latents by name, as encode returns them, found Tensor"),
        (z | {"ear": z[name]}, "ear: no such latent; the model has"),
        ({}, "no such latent in z, only none"),
        (z | {name: z[name][..., :1]}, f"{name}: expected a latent"),
        (z | {name: torch.tensor(1.0)}, f"{name}: expected a latent"),
        (z | {name: "words"}, f"{name}: not an array"),
    ):
        for call in (model.decode, model.draw):
            refused(call, wrong, match=text)
    if len(z) > 1:
        refused(model.decode, z | {name: z[name][:2]}, match="not of the same samples")
        refused(model.decode, {k: v for k, v in z.items() if k != name}, match=f"{name}: no such latent in z")


@torch.no_grad()
def test_latents_in_other_types_are_taken_and_only_those_that_are_needed(model):
    z = model.encode(data_of(model))
    expected = model.decode(z)
    for kind in (lambda v: v.double(), lambda v: v.numpy(), lambda v: v.tolist()):
        found = model.decode({k: kind(v) for k, v in z.items()})
        assert all(torch.equal(found[k], v) for k, v in expected.items())
    if model.__class__.__name__ == "DMVAE":
        some = model.decode({"shared": z.shared, "normal": z["normal"]}, of=["normal"])
        assert torch.equal(some["normal"], expected["normal"])


def test_latents_are_swapped_and_interpolated_by_name(model):
    data = data_of(model)
    z, fewer = model.encode(data), model.encode({k: v[:2] for k, v in data.items()})
    name = next(iter(z))
    for call in (lambda n: z.swap(n, z), lambda n: z.interpolate(n, z, 0.5)):
        refused(call, "ear", match="ear: no such latent, only")
    refused(z.interpolate, name, fewer, 0.5, match=rf"{name}: cannot go from \[3")
    if name not in model.static:
        refused(z.interpolate, name, z, torch.linspace(0, 1, 7), match="by 7 weights")
    else:
        refused(
            model.decode, z.interpolate(name, z, torch.linspace(0, 1, 7)), match="not of the same samples"
        )
    by_list = z.interpolate(name, z.roll(1), [0.25] * leading(model)[-1])
    torch.testing.assert_close(
        by_list[name],
        z.interpolate(name, z.roll(1), by_list[name].new_full((leading(model)[-1],), 0.25))[name],
    )


def test_a_batch_that_is_not_of_the_model(model):
    name, m = model.modalities[0].name, model.modalities[0]
    good = model.checked(data_of(model))
    for batch, text in (
        (Batch({}, {}), "no data: give at least one of"),
        (Batch({"ear": torch.zeros(3, 2)}, {"ear": torch.ones(3).bool()}), "ear: no such modality"),
        (Batch({name: torch.zeros(3, 99)}, {name: torch.ones(3).bool()}), f"{name}: a batch of values"),
        (Batch({name: good.x[name]}, {}), f"a batch of {name} says where there is "),
        (
            good._replace(available=good.available | {name: torch.ones(*leading(model), m.dim)}),
            "a batch of values",
        ),
    ):
        refused(model.encode, batch, match=text)
        refused(model.loss, batch, match=text)


@pytest.mark.parametrize("name", ["mm_vrnn of experts", "forward filter", "forward filter without w"])
def test_states_that_are_not_of_the_model_or_of_other_sequences(name):
    model = build(name)
    data, state = data_of(model), model.initial_state(N)
    size = state[0].shape[1]
    for wrong, text in (
        (model.initial_state(2), f"state: of 2 sequences, the data are of {N}"),
        (state[0], "state: expected "),
        ((*state, state[0]), rf"state: expected h.* of \[{N}, {size}\].*, as `filter` returns it"),
        (tuple(s[:, :2] for s in state), "state: expected h"),
    ):
        refused(model.filter, data, wrong, match=text)
        refused(model.loss, data, state=wrong, match=text)


def mvae(**keys):
    return MVAE([Modality("a", 3, **keys)], hidden=[4], latent=2)


@pytest.mark.parametrize(
    "rows", [[[0.0, 0, 0]], [[1.0, 1, 0]], [[0.3, 0.3, 0.3]], [[1.0, 0, 0], [0.5, 0.5, 0.5]]]
)
def test_categories_have_a_sum_of_1(rows):
    model = mvae(likelihood="categorical")
    text = r"a: expected one-hot values or shares of 1 \(categorical\), found sums from"
    for call in (model.encode, model.loss, model.log_likelihood, model.filter, lambda data: fit(model, data)):
        refused(call, {"a": torch.tensor(rows)}, match=text)
    with_missing = torch.tensor([[math.nan] * 3, [0.25, 0.25, 0.5], [0.0, 1.0, 0.0]])
    assert model.encode({"a": with_missing}).z.shape == (3, 2)
    for kind in (torch.float16, torch.bfloat16):  # shares of a network in half precision
        model.encode({"a": torch.rand(50, 3).softmax(-1).to(kind)})


def test_of_recorded_sessions_as_well(tmp_path):
    from enrapt.models.datasets.recordings import read_session

    np.savez(tmp_path / "a.npz", a=np.array([[np.nan] * 3, [1, 0, 0], [1, 0, 1]]))
    modalities = (Modality("a", 3, likelihood="categorical"),)
    refused(read_session, tmp_path / "a.npz", modalities, match=r"a\.npz: a: expected one-hot .* from 1 to 2")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": "a"}, "epochs: expected a whole number, at least 1, found 'a'"),
        ({"batch": 2.5}, "batch: expected a whole number"),
        ({"segment": 5}, "segment is for models of sequences"),
        ({"seed": -1}, "Expected `int` >= 0"),
        ({"weight_decay": -1.0}, "weight_decay: Expected `float` >= 0"),
        ({"patience": 0, "validation": {"a": torch.randn(4, 3)}}, "patience: Expected `int` >= 1"),
        ({"patience": EarlyStopping(of="targets")}, "patience needs validation data"),
        ({"licence": "two\nlines"}, "licence: Expected `str` matching"),
        ({"initial": "nowhere"}, "nowhere: no finished run to start from"),
        ({"seed": 1.5}, "Expected `int`, got `float`"),
        ({"seed": 10**18}, "Expected `int` <= "),
        ({"progress": None}, "progress: expected a function, found None"),
        ({"validation": {"a": torch.zeros(0, 3)}}, "validation: every value is missing"),
        ({"validation": {"a": torch.full((4, 3), torch.nan)}}, "validation: every value is missing"),
    ],
)
def test_options_of_fit(options, text):
    refused(fit, mvae(), {"a": torch.randn(4, 3)}, match=text, **{"epochs": 1} | options)


def test_data_and_models_that_cannot_be_trained():
    for empty in (torch.zeros(0, 3), torch.full((4, 3), torch.nan)):
        refused(fit, mvae(), {"a": empty}, match="data: every value is missing")
        refused(evaluate, mvae(), {"a": empty}, match="nothing is present in the data")
    for thing in (None, MVAE, nn.Linear(3, 2)):
        refused(fit, thing, {"a": torch.zeros(3, 3)}, match="model: expected a model")
    refused(evaluate, mvae(), {"a": torch.zeros(3, 3)}, rate=0, match="rate: expected")
    refused(evaluate, mvae(), {"a": torch.zeros(3, 3)}, seed=-1, match="seed: expected")


def test_a_last_sample_alone_is_trained_with_others():
    """Batch normalisation takes no batch of one."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    model = MVAE([Modality("a", 3, encoder=network)], latent=2)
    seen = []
    model.encoder["a"][0].network[1].register_forward_hook(lambda layer, x, y: seen.append(len(x[0])))
    fit(model, {"a": torch.randn(9, 3)}, batch=4, epochs=2)
    assert seen == [4, 5, 4, 5]


def test_classes_of_other_samples():
    both = {"a": nn.Identity(), "b": nn.Identity()}
    text = "coherence: expected classes of the same samples, at least one, found"
    refused(coherence, {"a": torch.zeros(4, 3), "b": torch.zeros(5, 3)}, both, match=text)
    refused(coherence, {"a": torch.zeros(0, 3), "b": torch.zeros(0, 3)}, both, match=text)
    model, data = mvae(), {"a": torch.randn(6, 3)}
    options = {"given": ["a"], "of": "a", "classifier": nn.Identity()}
    text = r"truth: expected classes \[6\], found \[3\]"
    refused(conditional_accuracy, model, data, truth=[0, 1, 2], match=text, **options)
    found = conditional_accuracy(model, data, truth=[0] * 6, **options)
    assert found == conditional_accuracy(model, data, truth=torch.zeros(6), **options)


def test_models_of_what_is_no_modality():
    for wrong in ("abc", 3, None, [("a", 3)]):
        with pytest.raises(ValueError, match="MVAE takes a list of Modality, found"):
            MVAE(wrong)
    assert MVAE(Modality("a", 3)).modalities[0].name == "a"
    for wrong in (mvae(), [Modality("a", 3)]):
        with pytest.raises(ValueError, match="a ForwardFilter is made of a trained MDVAE, found"):
            ForwardFilter(wrong)
    with pytest.raises(ValueError, match="which an mvae has not"):
        mvae(private=2)
    MDVAE([Modality("a", 3, private=2)])
    for kind in ("bernoulli", "categorical"):
        with pytest.raises(ValueError, match=f"a {kind} likelihood has no scale"):
            Modality("a", 3, likelihood=kind, scale=1.0)


@pytest.mark.parametrize("name", ["mvae", "dmvae"])
def test_values_and_masks_of_a_posterior(name):
    model, there = build(name), torch.ones(N, dtype=torch.bool)
    value = torch.zeros(N, 1)
    refused(model.posterior, {}, {}, match="no data: give at least one of normal, laplace")
    refused(model.posterior, {"face": value}, {"face": there}, match="face: no such modality")
    refused(model.posterior, {"normal": value}, {}, match="normal: values without a mask")
