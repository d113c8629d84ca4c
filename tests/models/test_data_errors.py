"""Data that do not fit a model, in one line that says what is wrong; and arrays of every kind, which do."""

import math

import numpy as np
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models import DMVAE, MDVAE, MMVRNN, MVAE, VQVAE, ForwardFilter, Modality, fit
from enrapt.models.model import Model

torch.set_num_threads(1)

MODALITIES = [
    Modality("face", 2, likelihood="normal"),
    Modality("units", 2, likelihood="bernoulli"),
    Modality("kind", 3, likelihood="categorical"),
    Modality("picture", shape=(1, 2, 2), likelihood="laplace"),
    Modality("engagement", 1, role="target", likelihood="logit_normal"),
]
torch.manual_seed(0)
MODELS = {
    "mvae": MVAE(MODALITIES, hidden=[8], latent=2),
    "dmvae": DMVAE(MODALITIES, hidden=[8], shared=2, private=1),
    "mm_vrnn": MMVRNN(MODALITIES, hidden=8, latent=2),
    "mdvae": MDVAE(MODALITIES, hidden=8, static=2, shared=2, private=1),
    "filter": ForwardFilter(MDVAE(MODALITIES, hidden=8, static=2, shared=2, private=1), hidden=8),
}
NAMES = "face, units, kind, picture, engagement"


@pytest.fixture(params=MODELS)
def model(request) -> Model:
    return MODELS[request.param]


def of(model, **values):
    """Data of three samples, or of two sequences of three ticks, by one sample's value."""
    leading = (3,) if model.axes == 1 else (2, 3)
    return {k: torch.tensor(v, dtype=torch.float64).expand(*leading, *np.shape(v)) for k, v in values.items()}


def message(model, data, **options):
    """Of every method that takes data, the same, and one line."""
    found = set()
    calls = [model.encode, model.loss, model.log_likelihood, lambda data: fit(model, data, epochs=1)]
    calls += [model.filter] if hasattr(model, "filter") else []
    calls += [lambda data: model.generate(1, 1, data)] if model.axes == 2 else []
    for call in calls:
        with pytest.raises(UserError) as error:
            call(data)
        found.add(str(error.value))
    (text,) = found
    assert "\n" not in text
    return text


def test_no_data(model):
    assert message(model, {}) == f"no data: give at least one of {NAMES}"


@pytest.mark.parametrize("data", [torch.zeros(3, 2), [torch.zeros(3, 2)], 3, "face"])
def test_no_dictionary(model, data):
    kind = type(data).__name__
    assert message(model, data) == f"data are a dictionary of arrays by modality, found {kind}"


def test_unknown_names(model):
    both = of(model, face=[0.0, 0.0], ear=[0.0], nose=[0.0])
    assert message(model, both) == f"ear, nose: no such modality; the model has {NAMES}"
    assert message(model, {0: torch.zeros(3, 2)}).startswith("0: no such modality")
    data = of(model, face=[0.0, 0.0])
    z = model.encode(data)
    for call in (
        lambda: model.encode(data, ["ear"]),
        lambda: model.encode(data, given=["face", "ear"]),
        lambda: model.decode(z, ["ear"]),
        lambda: model.draw(z, ["ear"]),
        lambda: model.log_likelihood(data, ["ear"]),
        lambda: model.log_likelihood(data, given=["ear"]),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert str(error.value) == f"ear: no such modality; the model has {NAMES}"


def test_shapes_and_ranks(model):
    lead, expected = ([3], "N") if model.axes == 1 else ([2, 3], "N, T")
    for name, inner, wrong in (
        ("face", "2", [3]),
        ("face", "2", []),
        ("face", "2", [2, 1]),
        ("engagement", "1", []),
        ("picture", "1, 2, 2", [4]),
        ("picture", "1, 2, 2", [2, 2]),
        ("picture", "1, 2, 2", [1, 2, 3]),
    ):
        text = message(model, {name: torch.zeros(*lead, *wrong)})
        assert text == f"{name}: expected [{expected}, {inner}], found {lead + wrong}"
    other = {1: MODELS["mm_vrnn"], 2: MODELS["mvae"]}[model.axes]
    found = list(of(model, face=[0.0, 0.0])["face"].shape)
    axes = "N, T" if other.axes == 2 else "N"
    assert message(other, of(model, face=[0.0, 0.0])) == f"face: expected [{axes}, 2], found {found}"


def test_numbers_of_samples_or_lengths_that_disagree(model):
    data = of(model, face=[0.0, 0.0], units=[0.0, 1.0])
    fewer = data | {"units": data["units"][:1]}
    n, m = (3, 1) if model.axes == 1 else ([2, 3], [1, 3])
    text = "units: {} values, but {} of face"
    shown = [str([v] if isinstance(v, int) else v) for v in (m, n)]
    assert message(model, fewer) == text.format(*shown)
    if model.axes == 2:
        shorter = data | {"units": data["units"][:, :2]}
        assert message(model, shorter) == text.format([2, 2], [2, 3])


def test_sequences_without_ticks():
    for model in MODELS.values():
        if model.axes == 2:
            assert message(model, {"face": torch.zeros(3, 0, 2)}) == "face: sequences of no ticks"


@pytest.mark.parametrize(
    "row", [[0.0, math.nan], [0.0, math.inf], [-math.inf, 0.0], [math.nan, math.inf], [math.inf, math.inf]]
)
def test_values_that_are_not_finite(model, row):
    data = of(model, face=[0.0, 0.0], units=[1.0, 0.0])
    data["face"] = data["face"].clone()
    data["face"][(-1,) * model.axes] = torch.tensor(row)
    assert message(model, data) == "face: a value must be finite, or all NaN, which is missing"


def test_a_picture_that_is_partly_nan(model):
    picture = [[[0.0, math.nan], [0.0, 0.0]]]
    assert message(model, of(model, picture=picture)).startswith("picture: a value must be finite")


def test_values_outside_the_range_of_a_likelihood(model):
    for name, value, likelihood in (
        ("units", [0.0, 1.5], "bernoulli"),
        ("units", [-1.0, 1.0], "bernoulli"),
        ("kind", [0.0, 0.0, 2.0], "categorical"),
        ("engagement", [-0.01], "logit_normal"),
        ("engagement", [55.0], "logit_normal"),
    ):
        low, high = (f"{limit:g}" for limit in (min(value), max(value)))
        text = f"{name}: expected values from 0 to 1 ({likelihood}), found {low} to {high}"
        assert message(model, of(model, **{name: value})) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "face: expected real numbers, found object"),
        ("words", "face: expected real numbers, found <U5"),
        (np.zeros((3, 2), complex), "face: expected real numbers, found complex128"),
        (np.array([[1, None]], object), "face: expected real numbers, found object"),
        (
            torch.zeros(3, 2, dtype=torch.complex64),
            "face: expected real numbers, dense, found torch.complex64",
        ),
        (
            torch.zeros(3, 2).to_sparse(),
            "face: expected real numbers, dense, found torch.float32, torch.sparse",
        ),
        ([[1.0, 2.0], [3.0]], "face: not an array: "),
    ],
)
def test_what_is_no_array_of_real_numbers(value, text):
    assert message(MODELS["mvae"], {"face": value}).startswith(text)


def test_a_modality_on_its_own_is_enough(model):
    for name, value in (("face", [0.0, 1.0]), ("engagement", [0.5]), ("picture", [[[0.0, 1.0], [2.0, 3.0]]])):
        assert all(v.isfinite().all() for v in model.encode(of(model, **{name: value})).values())


def kinds(rows):
    """The same values in other arrays."""
    x = np.array(rows)
    yield rows
    yield tuple(map(tuple, rows))
    yield [torch.tensor(row) for row in rows]
    for kind in (np.int64, np.uint8, bool, np.float16, np.float32, np.float64, np.longdouble, ">f4", ">i8"):
        yield x.astype(kind)
    for kind in (torch.int64, torch.uint8, torch.bool, torch.float16, torch.bfloat16, torch.float64):
        yield torch.tensor(rows).to(kind)
    yield torch.tensor(rows, dtype=torch.float32, requires_grad=True)
    yield x[::-1].copy()[::-1]  # negative strides
    yield np.asfortranarray(x)
    yield np.ma.masked_array(x)
    yield np.ma.masked_array(x.astype(int))
    read_only = x.copy()
    read_only.flags.writeable = False
    yield read_only


def test_arrays_of_any_kind_are_taken():
    model, rows = MODELS["mvae"], [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    expected = model.encode({"units": torch.tensor(rows)}).z
    for value in kinds(rows):
        found = model.encode({"units": value}).z
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
        checked = model.checked({"units": value})
        assert checked.x["units"].dtype in (torch.float32, torch.float64)
        assert checked.available["units"].dtype == torch.bool


def test_data_are_not_changed(model):
    x = np.full((3, 2) if model.axes == 1 else (2, 3, 2), 5.0, np.float32)
    x[0] = np.nan
    before = x.copy()
    model.encode({"face": x})
    model.loss({"face": x})
    np.testing.assert_array_equal(x, before)


def test_masked_arrays_are_missing_where_they_are_masked():
    model = MODELS["mvae"]
    x = np.ma.masked_array([[1, 2], [3, 4]], [[False, False], [True, True]])
    assert model.checked({"face": x}).available["face"].tolist() == [True, False]
    partly = np.ma.masked_array([[1, 2], [3, 4]], [[False, False], [True, False]])
    assert message(model, {"face": partly}).startswith("face: a value must be finite, or all NaN")


def test_no_samples_at_all_are_no_error():
    z = MODELS["mvae"].encode({"face": torch.zeros(0, 2)})
    assert z.z.shape == (0, 2)
    assert MODELS["mvae"].decode(z)["picture"].shape == (0, 1, 2, 2)


@pytest.mark.parametrize(
    "name",
    [
        "type",
        "training",
        "forward",
        "keys",
        "__class__",
        "a.b",
        "a b",
        "",
        "-a",
        "a\n",
        "mask",
        "state_h",
        "x" * 61,
    ],
)
def test_names_with_another_meaning_are_refused(name):
    with pytest.raises(ValueError, match=r"cannot be called|name: Expected") as error:
        Modality(name, 2)
    assert "\n" not in str(error.value)


def test_names_of_latents_are_refused():
    for model, name in (
        (MMVRNN, "z"),
        (MMVRNN, "h"),
        (MDVAE, "w"),
        (MDVAE, "shared"),
        (DMVAE, "shared"),
        (MVAE, "z"),
    ):
        with pytest.raises(ValueError, match="must have different names"):
            model([Modality(name, 2)])
    for model in (MVAE, DMVAE, MMVRNN, MDVAE):
        with pytest.raises(ValueError, match="must have different names"):
            model([Modality("a", 2), Modality("a", 3)])


def test_contexts_are_refused_where_a_model_takes_none():
    modalities = [Modality("a", 2), Modality("role", 1, role="context")]
    for model in (MVAE, DMVAE, MDVAE):
        with pytest.raises(ValueError, match="must be observed or targets"):
            model(modalities)
    with pytest.raises(ValueError, match="one modality"):
        VQVAE(modalities)
    MMVRNN(modalities)


def test_gradients_reach_the_data(model):
    x = of(model, units=[0.5, 0.5])["units"].clone().requires_grad_()
    model.decode(model.encode({"units": x}))["face"].sum().backward()
    assert (x.grad != 0).any()
