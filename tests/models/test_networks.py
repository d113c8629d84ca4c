"""Networks that a user gives, and their text."""

import warnings

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from enrapt.contracts.errors import UserError
from enrapt.models.config import build
from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.mdvae import MDVAE
from enrapt.models.mm_vrnn import MMVRNN
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig
from enrapt.models.networks import described, parsed
from enrapt.models.networks import given as network_given

PICTURE, VECTOR, SOUND = (3, 2, 8, 8), (3, 6), (3, 4, 10)  # shapes of three samples of each
LAYERS = [
    (nn.Linear(6, 4), VECTOR),
    (nn.Linear(6, 4, bias=False), VECTOR),
    (nn.Bilinear(6, 6, 2), None),
    (nn.Conv1d(4, 6, 3, dilation=2), SOUND),
    (nn.Conv2d(2, 6, 3), PICTURE),
    (nn.Conv2d(2, 6, (3, 5), (2, 1), (1, 2), groups=2, bias=False), PICTURE),
    (nn.Conv2d(2, 6, 3, padding="same"), PICTURE),
    (nn.Conv2d(2, 6, 3, padding=1, padding_mode="reflect"), PICTURE),
    (nn.ConvTranspose1d(4, 2, 4, 2), SOUND),
    (nn.ConvTranspose2d(2, 6, 4, 2, 1), PICTURE),
    (nn.ConvTranspose2d(2, 4, 3, 2, 1, output_padding=1, bias=False), PICTURE),
    (nn.BatchNorm1d(6), VECTOR),
    (nn.BatchNorm2d(2, eps=1e-3, momentum=None, affine=False), PICTURE),
    (nn.BatchNorm2d(2, track_running_stats=False), PICTURE),
    (nn.LayerNorm(6), VECTOR),
    (nn.LayerNorm((2, 8, 8), elementwise_affine=False), PICTURE),
    (nn.LayerNorm([8, 8], bias=False), PICTURE),
    (nn.RMSNorm(6), VECTOR),
    (nn.GroupNorm(2, 4), SOUND),
    (nn.InstanceNorm2d(2, affine=True), PICTURE),
    (nn.LocalResponseNorm(2, k=2.0), PICTURE),
    (nn.Flatten(), PICTURE),
    (nn.Flatten(2, 3), PICTURE),
    (nn.Unflatten(1, (2, 3)), VECTOR),
    (nn.Unflatten(1, torch.Size([3, 2])), VECTOR),
    (nn.Unflatten(-1, (5, 2)), SOUND),
    (nn.Upsample(scale_factor=2), PICTURE),
    (nn.Upsample(size=(16, 12), mode="bilinear"), PICTURE),
    (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), PICTURE),
    (nn.UpsamplingBilinear2d(scale_factor=2), PICTURE),
    (nn.PixelShuffle(1), PICTURE),
    (nn.MaxPool2d(3, 2, 1), PICTURE),
    (nn.MaxPool2d(3, ceil_mode=True), PICTURE),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), PICTURE),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=5), PICTURE),
    (nn.AdaptiveAvgPool2d((1, None)), PICTURE),
    (nn.LPPool2d(2.0, 3, ceil_mode=True), PICTURE),
    (nn.ZeroPad2d(1), PICTURE),
    (nn.ReflectionPad2d((1, 2, 0, 3)), PICTURE),
    (nn.ConstantPad2d(2, 1.5), PICTURE),
    (nn.ReLU(), VECTOR),
    (nn.ReLU(inplace=True), VECTOR),
    (nn.GELU(), VECTOR),
    (nn.GELU("tanh"), VECTOR),
    (nn.SiLU(), VECTOR),
    (nn.ELU(0.5), VECTOR),
    (nn.LeakyReLU(0.2), VECTOR),
    (nn.PReLU(), VECTOR),
    (nn.PReLU(6, init=0.1), VECTOR),
    (nn.Hardtanh(-2.0, 3.0), VECTOR),
    (nn.Softplus(2.0), VECTOR),
    (nn.Softmax(1), VECTOR),
    (nn.Threshold(0.1, 0.2), VECTOR),
    (nn.GLU(), VECTOR),
    (nn.Tanh(), VECTOR),
    (nn.Sigmoid(), VECTOR),
    (nn.Dropout(0.3), VECTOR),
    (nn.Identity(), VECTOR),
    (nn.Sequential(), VECTOR),
    (nn.Sequential(nn.Linear(6, 3), nn.Sequential(nn.Sequential(nn.GELU()), nn.Linear(3, 2))), VECTOR),
    (nn.Sequential(nn.Conv2d(2, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.Upsample(None, 2), nn.Flatten()), PICTURE),
]  # fmt: skip


def structure(network):
    """Names and kinds of all parts, and their settings."""
    return [
        (name, type(part), {k: v for k, v in vars(part).items() if k[0] != "_" and k != "training"})
        for name, part in network.named_modules()
    ]


def run(network, shape):
    x = torch.randn(shape or (3, 6), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    return network(x.clone()) if shape else network(x, x)


@pytest.mark.parametrize(("network", "shape"), LAYERS, ids=[" ".join(repr(n).split()) for n, _ in LAYERS])
def test_the_text_of_a_network_makes_the_same_network(network, shape):
    text = described(network)
    assert "\n" not in text
    again = parsed(text)
    assert structure(again) == structure(network)
    assert described(again) == text
    expected = {k: (v.shape, v.dtype) for k, v in network.state_dict().items()}
    assert {k: (v.shape, v.dtype) for k, v in again.state_dict().items()} == expected
    again.load_state_dict(network.state_dict())
    for mode in (True, False):
        assert torch.equal(run(again.train(mode), shape), run(network.train(mode), shape))


@pytest.mark.parametrize(
    ("lazy", "shape"),
    [
        (nn.LazyLinear(4), VECTOR),
        (nn.LazyLinear(4, bias=False), VECTOR),
        (nn.LazyConv2d(4, 3, stride=2, padding=1), PICTURE),
        (nn.LazyConv2d(4, 3, padding_mode="circular", bias=False), PICTURE),
        (nn.LazyConvTranspose2d(4, 3), PICTURE),
        (nn.LazyBatchNorm2d(momentum=0.2), PICTURE),
        (nn.LazyBatchNorm2d(affine=False), PICTURE),
        (nn.LazyInstanceNorm2d(affine=True), PICTURE),
        (nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2)), PICTURE),
    ],
    ids=lambda value: " ".join(repr(value).split()) if isinstance(value, nn.Module) else "",
)
def test_lazy_layers_have_a_text_before_and_after_their_first_use(lazy, shape):
    before = described(lazy)
    assert "Lazy" in before
    unused = parsed(before)
    assert described(unused) == before
    run(lazy, shape)
    after = described(lazy)
    assert "Lazy" not in after
    again = parsed(after)
    run(unused, shape)
    for one in (again, unused):
        assert structure(one) == structure(lazy)
        one.load_state_dict(lazy.state_dict())
        assert torch.equal(run(one.eval(), shape), run(lazy.eval(), shape))


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 4)

    def forward(self, x):
        return 2 * self.first(x)


class Linear(nn.Linear):
    """Has the name of one of PyTorch's, and another output."""

    def forward(self, x):
        return 2 * super().forward(x)


class Chain(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


NOT_OF_TORCH = {
    "other class": Doubled(),
    "same name": Linear(6, 4),
    "within": nn.Sequential(nn.Linear(6, 6), Linear(6, 4)),
    "container": Chain(nn.Linear(6, 4)),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)),
    "names": nn.Sequential(),
    "attention": nn.TransformerEncoderLayer(6, 2, 8),
}
NOT_OF_TORCH["names"].add_module("first", nn.Linear(6, 4))


@pytest.mark.parametrize("name", NOT_OF_TORCH)
def test_a_network_that_no_text_makes_has_one_that_is_refused(name):
    """Rather than another network, whose outputs would differ."""
    text = described(NOT_OF_TORCH[name])
    assert "\n" not in text
    with pytest.raises(
        UserError, match=r"the encoder of a, .*, is not kept with a run: give the module in Python"
    ) as error:
        parsed(text, "the encoder of a")
    assert "\n" not in str(error.value)


def test_a_text_stays_as_it_is():
    assert described("Linear( 3,4 )") == "Linear( 3,4 )"


# Hostile texts.

HOSTILE = [
    "",
    " ",
    "3",
    "Linear",
    "nn.Linear(3, 4)",
    "torch.nn.Linear(3, 4)",
    "Sequential(nn.Linear(3, 4))",
    "linear(3, 4)",
    "print(3)",
    "open('PWNED', 'w')",
    "exec('1')",
    "__import__('os').system('touch PWNED')",
    "Linear(3, __import__('os').system('touch PWNED'))",
    "Linear(3, open('PWNED', 'w'))",
    "Linear(3, out_features=open('PWNED', 'w'))",
    "Linear(*[3, 4])",
    "Linear(**{'in_features': 3, 'out_features': 4})",
    "Linear(3, 4).forward",
    "Linear(3, 4).__class__(3, 4)",
    "Linear(3, 4)(3)",
    "(Linear)(3, 4), 3",
    "[Linear(3, 4)]",
    "[Linear(3, 4) for _ in range(3)]",
    "Sequential(*(Linear(3, 3) for _ in range(10**9)))",
    "Linear(3, [x for x in (4,)][0])",
    "lambda: Linear(3, 4)",
    "(lambda: Linear(3, 4))()",
    "Linear(3, 4) if True else 3",
    "Linear(3, 4) and Linear(3, 4)",
    "(x := Linear(3, 4))",
    "f\"{open('PWNED', 'w')}\"",
    "Linear(3, f\"{open('PWNED', 'w')}\")",
    "Linear(3, 10**2)",
    "Linear(3, 2 * 2)",
    "import os",
    "Linear(3, 4); import os",
    "Linear(3, 4)\nprint(3)",
    "Linear(3, 4) # \n\x1b[31m",
    "Module()",
    "modules(3)",
    "functional(3)",
    "init(3)",
    "Parameter(3)",
    "__name__(3)",
    "__builtins__(3)",
    "ModuleList()(3)",
    "Linear(3)",
    "Linear('3', 4)",
    "Linear(3, 4, 5, 6, 7, 8)",
    "Linear(-3, 4)",
    "Linear(3.5, 4)",
    "Linear(3, colour=4)",
    "Linear(3, 4, device='cpu')",
    "Linear(3, 4, True, 'cpu')",
    "Linear(3, 4, True, 0)",
    "Linear(3, 4, device='meta')",
    "Linear(3, 4, dtype='float64')",
    "Sequential(Linear(3, 4, device=0))",
    "Conv2d(1, 1, 3, device='cuda:0')",
    "Linear(10000000, 10000000)",
    "Linear(1000000000000, 1)",
    "Linear(3, 9" + "9" * 5000 + ")",
    "BatchNorm1d(10000000000, affine=False)",
    "LSTM(3, 4, num_layers=1000000000)",
    "TransformerEncoder(TransformerEncoderLayer(4, 2), 10000000000)",
    "Upsample(scale_factor=1e300)",
    "Upsample((10000000, 10000000))",
    "ZeroPad1d(10000000000)",
    "Sequential(" * 5000,
    "Sequential(" * 5000 + ")" * 5000,
    "Sequential(" * 150 + ")" * 150 + "(",
    "(" * 100_000,
    "-" * 100_000 + "1",
    "Linear(" + "-" * 100_000 + "1, 3)",
    "Linear(" + "(" * 90 + "3" + ")" * 90 + ", " + "[" * 5000 + ")",
    "Linear(3, 4)\0",
    "\ud800",
    "Lineаr(3, 4)",  # one letter is Cyrillic
    "Linear(3, '\\d')",
]


def refused(text):
    """The one line of a text that is refused."""
    with pytest.raises(UserError) as error:
        parsed(text, "the encoder of a")
    line = str(error.value)
    assert line.startswith("the encoder of a, ")
    assert line.isprintable()
    assert len(line) < 500
    return line


@pytest.mark.parametrize("text", HOSTILE, ids=[ascii(text[:40]) for text in HOSTILE])
def test_a_hostile_text_is_one_line_and_executes_nothing(text, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        refused(text)
    assert not warned
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


LITERAL = st.recursive(
    st.sampled_from(
        ["0", "1", "3", "-1", "2.5", "1e9", "True", "None", "'same'", "'mean'", "b'x'", "1j", "..."]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"({', '.join(parts)},)"),
    max_leaves=3,
)
NAMES = st.sampled_from(
    ["Linear", "Conv2d", "Flatten", "ReLU", "Sequential", "LayerNorm", "Softmax", "Unflatten", "Dropout",
     "Module", "nn.Linear", "os.system", "open", "__import__", "eval", "getattr", "Parameter", "functional",
     "lambda: Linear"]
)  # fmt: skip
KEYS = st.sampled_from(["bias", "padding", "device", "dtype", "out_features", "p", "dim", "**", "*"])


def calls(inner):
    positional = st.lists(st.one_of(inner, LITERAL), max_size=3)
    named = st.lists(st.tuples(KEYS, st.one_of(LITERAL, inner)).map("=".join), max_size=2)
    return st.builds(lambda name, a, b: f"{name}({', '.join(a + b)})", NAMES, positional, named)


@settings(max_examples=300)
@given(st.recursive(calls(LITERAL), calls, max_leaves=6))
@example("Linear(3, ...)")
def test_texts_like_those_of_networks_make_layers_or_one_line(text):
    network, line = None, ""
    try:
        network = parsed(text, "it")
    except UserError as error:
        line = str(error)
    assert line.isprintable()
    for part in network.modules() if network else ():
        assert type(part) is getattr(nn, type(part).__name__)


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_one_line(text):
    assume("(" not in text)  # else it may be a network, such as `Identity()`: see the test before
    refused(text)


def test_a_text_too_large_for_memory_is_refused_before_it_takes_any():
    for text in ("Linear(100000, 100000)", "Sequential(Linear(12, 100000), Linear(100000, 100000))"):
        config = MVAEConfig((Modality("a", 12, encoder=text),))
        with pytest.raises(UserError, match=r"parameters, more than a bundle|does not take N×12"):
            build(config)


# Networks that do not fit.

NETWORKS = {
    "Linear(7, 4)": r"the encoder of face does not take N×6 numbers: .*6.* 7",
    "Conv2d(1, 2, 3)": r"the encoder of face does not take N×6 numbers",
    "Flatten(0)": r"the encoder of face does not take N×6 numbers",
    "Sequential(Unflatten(1, (2, 3)), Flatten(0, 1))": r"take N×6 numbers: 2 samples became 4",
    "MaxPool1d(2, return_indices=True)": r"the encoder of face does not take N×6 numbers",
    "LSTM(6, 4)": r"the encoder of face does not take N×6 numbers",
}


@pytest.mark.parametrize("kind", [MVAE, DMVAE, MMVRNN, MDVAE])
@pytest.mark.parametrize("text", NETWORKS)
def test_an_encoder_that_does_not_fit_names_the_modality_and_the_sizes(kind, text):
    for encoder in (text, parsed(text)):
        with pytest.raises(UserError, match=NETWORKS[text]) as error:
            kind([Modality("face", 6, encoder=encoder), Modality("sound", 3)])
        assert "\n" not in str(error.value)


def test_an_encoder_of_another_shape_names_the_shape():
    with pytest.raises(UserError, match=r"the encoder of face does not take N×2×3 numbers: .*1x7|.*6.*7"):
        MVAE([Modality("face", shape=(2, 3), encoder="Sequential(Flatten(), Linear(7, 4))")])


@pytest.mark.parametrize("kind", [MVAE, DMVAE, MMVRNN, MDVAE])
def test_a_decoder_of_a_wrong_number_of_outputs_names_the_modality_and_the_sizes(kind):
    for likelihood, expected in (("normal", "6 or 12"), ("laplace", "6 or 12"), ("bernoulli", "6")):
        for outputs in (5, 7, 13):
            m = Modality("face", 6, likelihood=likelihood, decoder=nn.LazyLinear(outputs))
            message = f"the decoder of face has {outputs} outputs, expected {expected}$"
            with pytest.raises(UserError, match=message):
                kind([m, Modality("sound", 3)])


@pytest.mark.parametrize("kind", [MVAE, DMVAE, MMVRNN, MDVAE])
def test_a_decoder_of_a_wrong_input_size_names_the_latents_size(kind):
    with pytest.raises(UserError, match=r"the decoder of face does not take N×\d+ numbers: "):
        kind([Modality("face", 6, decoder=nn.Linear(999, 6))])


def test_the_latents_of_a_decoder_are_those_of_its_modality():
    model = DMVAE(
        [
            Modality("face", 6, private=3, likelihood="normal", decoder=nn.Linear(7, 6)),
            Modality("sound", 3, private=0, decoder=nn.Linear(4, 6)),
        ],
        shared=4,
    )
    assert set(model.raw_scale) == {"face"}


# A network that is given is a copy, and as it came.


def test_a_network_that_is_given_is_a_copy_with_its_weights_and_statistics():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU())
    network(torch.randn(100, 6))
    network[2].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = torch.get_rng_state()
    copied, features = network_given(network, (6,), "it")
    assert features == 4
    assert torch.equal(torch.get_rng_state(), state)
    for one in (network, copied.network):
        assert all(torch.equal(v, before[k]) for k, v in one.state_dict().items())
        assert [part.training for part in one.modules()] == [True, True, True, False, True]
    assert not any(p is q for p in network.parameters() for q in copied.parameters())


def test_a_model_keeps_the_weights_of_a_network_that_is_given():
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for kind in (MVAE, DMVAE, MMVRNN, MDVAE):
        model = kind([Modality("a", 6, encoder=network, decoder=nn.LazyLinear(6))])
        found = {k: v for k, v in model.state_dict().items() if "network" in k}
        for name, value in before.items():
            assert any(k.endswith(f"network.{name}") and torch.equal(v, value) for k, v in found.items())


class Positions(nn.Module):
    """Makes a tensor in its pass, as many networks do."""

    def __init__(self):
        super().__init__()
        self.place = nn.Embedding(6, 4)

    def forward(self, x):
        return (x.unsqueeze(-1) * self.place(torch.arange(6))).mean(1)


@pytest.mark.parametrize("network", [Positions(), nn.Flatten(), nn.Identity()])
def test_a_network_with_tensors_of_its_own_or_without_weights_is_built(network):
    config = DMVAEConfig((Modality("a", 6, encoder=network), Modality("b", 3)))
    model = build(config)
    assert all(not p.is_meta for p in model.parameters())
    model.encode({"a": torch.zeros(2, 6), "b": torch.zeros(2, 3)})


def test_sequences_go_through_a_network_of_samples_tick_by_tick():
    network, _ = network_given(nn.Conv2d(2, 3, 3), (2, 8, 8), "it")
    x = torch.randn(4, 5, 128)
    found = network(x)
    assert found.shape == (4, 5, 108)
    torch.testing.assert_close(found[2, 3], network(x[2, 3]))
