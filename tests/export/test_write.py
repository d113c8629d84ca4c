import msgspec
import numpy as np
import onnx
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.export.bundle import Bundle, digest
from enrapt.export.parity import check_parity
from enrapt.export.write import describe, graph_of, rounded, with_metadata
from enrapt.models.config import load_config
from enrapt.models.mm_vrnn import MMVRNN
from enrapt.models.modality import Modality


def config_of(*modalities: Modality):
    default = load_config("default")
    model = msgspec.structs.replace(default.model, modalities=modalities, hidden=24, latent=6)
    return msgspec.structs.replace(default, model=model)


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


def bundle_of(config, path, kind="step"):
    torch.manual_seed(1)
    model = MMVRNN(config.model).eval()
    for m in model.inputs:
        model.normalise(m.name, torch.randn(m.dim), torch.rand(m.dim) + 0.3)
    graph = graph_of(model, kind)
    path.write_bytes(with_metadata(graph, describe(config, model, kind, 0, digest(graph))))
    return model, path


@pytest.fixture(scope="module", params=[(config, kind) for config in CONFIGS for kind in KINDS], ids=str)
def exported(request, tmp_path_factory):
    config, kind = request.param
    return bundle_of(CONFIGS[config], tmp_path_factory.mktemp("bundles") / "b.onnx", kind)


def test_onnx_runtime_gives_what_pytorch_gives(exported):
    """1,000 ticks at batch 1, 2, 7 and 64, bursts of missing data, NaN there; stepped or in segments."""
    model, path = exported
    # Logits of shares near 0 and 1 lose a digit.
    allowed = 1e-4 if any(m.likelihood == "logit_normal" for m in model.decoded) else 1e-5
    assert check_parity(model, Bundle.load(path), ticks=1000) < allowed


def test_the_file_is_a_valid_model_and_tells_nothing_of_this_machine(exported):
    _, path = exported
    onnx.checker.check_model(onnx.load(path), full_check=True)
    content = path.read_bytes()
    for word in (b"/home", b"/root", b"/work", b"site-packages", b"stack_trace", b".py"):
        assert word not in content


def test_a_model_of_other_weights_is_noticed(tmp_path):
    model, path = bundle_of(CONFIGS["one modality"], tmp_path / "b.onnx")
    with torch.no_grad():
        model.head.of_z.weight.add_(0.01)
    with pytest.raises(UserError, match=r"engagement_\w+ differs from the model's by .* at tick"):
        check_parity(model, Bundle.load(path), ticks=50)


def test_a_masked_value_does_not_matter(tmp_path):
    _, path = bundle_of(CONFIGS["one modality"], tmp_path / "b.onnx")
    session = Bundle.load(path).session
    state = {"mask": np.zeros((2, 1), np.float32), "state_h": np.ones((2, 24), np.float32)}
    nan, big = (np.full((2, 57), v, np.float32) for v in (np.nan, 1e30))
    for a, b in zip(
        session.run(None, {"face": nan} | state), session.run(None, {"face": big} | state), strict=True
    ):
        assert np.array_equal(a, b)


def test_two_exports_of_the_same_weights_are_the_same_bytes(tmp_path):
    paths = [bundle_of(CONFIGS["one modality"], tmp_path / name)[1] for name in ("a.onnx", "b.onnx")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_score_that_is_no_number_does_not_spoil_the_bundle(tmp_path):
    config = CONFIGS["one modality"]
    _, path = bundle_of(config, tmp_path / "b.onnx")
    graph = path.read_bytes()
    quality = rounded({"all": {"ccc": float("nan"), "rmse": 0.123456, "nll": float("inf")}})
    metadata = msgspec.structs.replace(Bundle.load(path).metadata, quality=quality)
    bare = onnx.load_from_string(graph)
    del bare.metadata_props[:]
    path.write_bytes(with_metadata(bare.SerializeToString(deterministic=True), metadata))
    assert Bundle.load(path).metadata.quality == {"all": {"rmse": 0.1235}}
