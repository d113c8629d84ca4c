from copy import deepcopy
from functools import cache, partial

import msgspec
import numpy as np
import onnx
import pytest
import torch

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.contracts.errors import UserError
from enrapt.export.layout import exportable, layout
from enrapt.export.parity import check_parity
from enrapt.export.write import describe, graph_of, rounded, with_metadata
from enrapt.models.config import build, load_config
from enrapt.models.dmvae import DMVAEConfig
from enrapt.models.ensemble import EnsembleConfig
from enrapt.models.forward_filter import ForwardFilterConfig
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig
from enrapt.models.recent_vrnn import RecentVRNNConfig
from enrapt.models.turn_vrnn import TurnVRNNConfig
from enrapt.realtime.engine.engine import Engine

SMALL = partial(MMVRNNConfig, hidden=24, latent=6)
RECENT = partial(RecentVRNNConfig, hidden=12, latent=4)


def config_of(*modalities: Modality, model=SMALL):
    return msgspec.structs.replace(load_config("default"), model=model(modalities))


def a_filter(modalities, static=3, **options):
    mdvae = MDVAEConfig(modalities, hidden=12, static=static, shared=4, private=2)
    return ForwardFilterConfig(mdvae, hidden=20, **options)


def a_dmvae(modalities):
    private = {"a": 2, "b": 3}
    own = tuple(msgspec.structs.replace(m, private=private.get(m.name, 0)) for m in modalities)
    return DMVAEConfig(own, shared=4, hidden=(16,))


KINDS = ("step", "full", "block")
TARGET = Modality("engagement", 1, "target", "logit_normal", 100.0)
CONFIGS = {
    "face and audio": config_of(
        Modality("face", 57, schema="face/1"), Modality("audio", 44, schema="audio/1"), TARGET
    ),
    "one modality": config_of(Modality("face", 57), TARGET),
    "context first, five likelihoods": config_of(
        Modality("role", 2, "context"),
        TARGET,
        Modality("a", 3, likelihood="normal"),
        Modality("b", 4),
        Modality("c", 2, likelihood="bernoulli"),
        Modality("d", 5, likelihood="categorical"),
        Modality("e", 2, likelihood="logit_normal"),
    ),
}
THREE = (
    Modality("a", 3, likelihood="normal"),
    TARGET,
    Modality("b", 4),
    Modality("c", 2, likelihood="bernoulli"),
)
PICTURES = (
    Modality(
        "picture",
        shape=(2, 6, 8),
        likelihood="bernoulli",
        encoder="Sequential(Conv2d(2, 4, 4, 2, 1), BatchNorm2d(4), GELU(), Flatten(), LazyLinear(9))",
    ),
    TARGET,
    Modality("sound", shape=(4, 3), likelihood="normal", scale=0.5),
    Modality("b", 4, likelihood="normal", decoder="Sequential(LazyLinear(8), Tanh(), Linear(8, 4))"),
)
CONFIGS |= {
    "forward filter": config_of(*THREE, model=a_filter),
    "forward filter without w": config_of(*THREE, model=partial(a_filter, static=0)),
    "forward filter of the recent past": config_of(
        *THREE, model=partial(a_filter, ticks=(2.0, 9.0), whiten=True)
    ),
    "the recent past": config_of(*THREE, model=partial(RecentVRNNConfig, hidden=12, latent=4)),
    "the recent past, whitened": config_of(
        *THREE, model=partial(RecentVRNNConfig, hidden=12, latent=4, whiten=True)
    ),
    "the recent past, and pictures": config_of(
        *PICTURES, model=partial(RecentVRNNConfig, hidden=12, latent=4)
    ),
    "who speaks": config_of(
        Modality("own", 1, likelihood="bernoulli"),
        Modality("partner", 1, likelihood="bernoulli"),
        TARGET,
        model=partial(TurnVRNNConfig, hidden=12, latent=4),
    ),
    "ensemble": config_of(
        *THREE, model=lambda modalities: EnsembleConfig(MMVRNNConfig(modalities, hidden=8, latent=3), 3)
    ),
    "ensemble of who speaks": config_of(
        Modality("own", 1, likelihood="bernoulli"),
        Modality("partner", 1, likelihood="bernoulli"),
        TARGET,
        model=lambda modalities: EnsembleConfig(TurnVRNNConfig(modalities, hidden=8, latent=3), 2),
    ),
    "MVAE": config_of(*THREE, model=partial(MVAEConfig, hidden=(16,), latent=6)),
    "DMVAE": config_of(*THREE, model=a_dmvae),
    "concatenated with zeros": config_of(*THREE, model=partial(SMALL, fusion="zeros")),
    "concatenated with a token": config_of(*THREE, model=partial(SMALL, fusion="token")),
    # Networks of the caller, values that are no vectors, scales that are fixed or learned.
    "MM-VRNN of pictures": config_of(*PICTURES),
    "MVAE of pictures": config_of(*PICTURES, model=partial(MVAEConfig, hidden=(16,), latent=6)),
}


def bundle_of(config, path, kind="step"):
    torch.manual_seed(1)
    model = build(config.model).eval()
    for m in layout(model).inputs:
        model.normalise(m.name, torch.randn(m.dim), torch.rand(m.dim) + 0.3)
    graph = graph_of(model, kind)
    path.write_bytes(with_metadata(graph, describe(config, model, kind, 0, digest(graph))))
    return model, path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A model and its bundle by configuration and kind, cached: an export takes seconds."""
    folder = tmp_path_factory.mktemp("bundles")

    @cache
    def made(name, kind):
        return bundle_of(CONFIGS[name], folder / f"{name}, {kind}.onnx", kind)

    return lambda name, kind="step": made(name, kind)  # a default would be another key


# Four Scans: PyTorch 2.13 fails when it simplifies them.
TOO_MUCH = ("ensemble of who speaks", "block")
# One of each graph; the other combinations take minutes.
QUICK = {
    ("face and audio", "block"),
    ("one modality", "step"),
    ("context first, five likelihoods", "full"),
    ("forward filter", "step"),
    ("who speaks", "step"),
    ("ensemble", "full"),
    ("ensemble of who speaks", "step"),
    ("MVAE", "step"),
    ("DMVAE", "step"),
    ("concatenated with a token", "step"),
    ("MM-VRNN of pictures", "full"),
}
EVERY = [
    pytest.param((name, kind), marks=[] if (name, kind) in QUICK else pytest.mark.long, id=f"{name}, {kind}")
    for name in CONFIGS
    for kind in KINDS
    if (name, kind) != TOO_MUCH
]


@pytest.fixture(params=EVERY)
def exported(request, bundles):
    return bundles(*request.param)


def test_onnx_runtime_agrees_with_pytorch(exported):
    """1,000 ticks at batch 1, 2, 7 and 64, bursts of missing data, NaN there; stepped or in segments."""
    model, path = exported
    # Logits of shares near 0 and 1 lose a digit.
    allowed = 1e-4 if any(m.likelihood == "logit_normal" for m in layout(model).decoded) else 1e-5
    assert check_parity(model, Bundle.load(path), ticks=1000) < allowed


def test_the_file_is_a_valid_model_without_traces_of_this_machine(exported):
    _, path = exported
    onnx.checker.check_model(onnx.load(path), full_check=True)
    content = path.read_bytes()
    for word in (b"/home", b"/root", b"/work", b"site-packages", b"stack_trace", b".py"):
        assert word not in content


def test_parity_detects_other_weights(bundles):
    model, path = bundles("one modality")
    model = deepcopy(model)
    with torch.no_grad():
        model.decoder["engagement"].of_z.weight.add_(0.01)
    with pytest.raises(UserError, match=r"engagement_\w+ differs from the model's by .* at tick"):
        check_parity(model, Bundle.load(path), ticks=50)


def test_a_masked_value_has_no_effect(bundles):
    _, path = bundles("one modality")
    session = Bundle.load(path).session
    state = {"mask": np.zeros((2, 1), np.float32), "state_h": np.ones((2, 24), np.float32)}
    nan, big = (np.full((2, 57), v, np.float32) for v in (np.nan, 1e30))
    for a, b in zip(
        session.run(None, {"face": nan} | state), session.run(None, {"face": big} | state), strict=True
    ):
        assert np.array_equal(a, b)


def test_a_graph_that_pytorch_cannot_make_is_a_line(bundles):
    with pytest.raises(UserError, match="PyTorch cannot make a graph of this model"):
        bundles(*TOO_MUCH)


@pytest.mark.parametrize("name", ["one modality", pytest.param("forward filter", marks=pytest.mark.long)])
def test_two_exports_of_the_same_weights_are_the_same_bytes(name, bundles, tmp_path):
    _, again = bundle_of(CONFIGS[name], tmp_path / "again.onnx")
    assert bundles(name)[1].read_bytes() == again.read_bytes()


def test_a_score_that_is_not_finite_is_left_out(bundles, tmp_path):
    _, path = bundles("one modality")
    graph = path.read_bytes()
    quality = rounded({"all": {"ccc": float("nan"), "rmse": 0.123456, "nll": float("inf")}})
    metadata = msgspec.structs.replace(Bundle.load(path).metadata, quality=quality)
    bare = onnx.load_from_string(graph)
    del bare.metadata_props[:]
    scored = tmp_path / "scored.onnx"
    scored.write_bytes(with_metadata(bare.SerializeToString(deterministic=True), metadata))
    assert Bundle.load(scored).metadata.quality == {"all": {"rmse": 0.1235}}


@pytest.mark.parametrize("name", ["forward filter", "MVAE"])
def test_the_engine_steps_a_bundle_of_any_model(name, bundles):
    _, path = bundles(name)
    bundle = Bundle.load(path)
    engine = Engine(bundle, streams=2)
    rng = np.random.default_rng(0)
    x = {m.name: rng.standard_normal(m.dim, np.float32) for m in bundle.metadata.inputs}
    first = engine.step_streams([x, {}])
    engine.step_streams([x, x])
    engine.reset()
    assert engine.step_streams([x, {}]) == first
    assert 0 < first[0].low < first[0].mean < first[0].high < 1
    assert set(first[0].surprise) == set(x)


def test_the_latents_of_a_bundle_have_names(bundles):
    _, path = bundles("DMVAE")
    latents = {latent.name: latent.dim for latent in Bundle.load(path).metadata.latents}
    assert latents == {"shared": 4, "a": 2, "b": 3}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_of(*THREE, model=lambda m: a_filter(m).smoother), "not causal, .* enrapt distil"),
        (
            config_of(THREE[0], model=partial(MVAEConfig, hidden=(8,))),
            "a bundle estimates one logit_normal target",
        ),
        (
            config_of(*THREE, Modality("mood", 1, "target", "logit_normal")),
            "a bundle estimates one logit_normal target",
        ),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused(config, said):
    with pytest.raises(UserError, match=f"^it: .*{said}"):
        exportable(build(config.model), "it")
