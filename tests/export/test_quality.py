import msgspec
import numpy as np
import pytest
import torch

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.export.quality import measure
from enrapt.export.quantise import quantised
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models import data
from enrapt.models.config import load_config
from enrapt.models.evaluation import evaluate_run
from enrapt.models.mm_vrnn import MMVRNN


@pytest.fixture(scope="module")
def few_people():
    """Two groups of three people, ten seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "PEOPLE", 3)
        patch.setattr(data.Conversations.held_out, "__defaults__", (2,))
        patch.setattr("enrapt.models.evaluation.held_out.__defaults__", (2,))
        yield


@pytest.fixture(scope="module")
def trained():
    """A configuration and a model of it, not trained but with an opinion."""
    default = load_config("default")
    small = msgspec.structs.replace(default.model, hidden=32, latent=8)
    training = msgspec.structs.replace(default.training, session_seconds=10.0)
    config = msgspec.structs.replace(default, model=small, training=training)
    torch.manual_seed(2)
    model = MMVRNN(small).eval()
    for name, dim in (("face", 57), ("audio", 44)):
        model.normalise(name, torch.zeros(dim), torch.full((dim,), 20.0))
    with torch.no_grad():
        model.decoder["engagement"].of_z.weight.mul_(5)
    return config, model


@pytest.fixture(scope="module")
def step(trained):
    """Its graph, which takes seconds to export."""
    return graph_of(trained[1], "step")


def bundle_of(trained, graph, path, kind="step"):
    config, model = trained
    path.write_bytes(with_metadata(graph, describe(config, model, kind, 0, digest(graph))))
    return Bundle.load(path)


@pytest.mark.parametrize(
    "kind",
    ["step", pytest.param("full", marks=pytest.mark.long), pytest.param("block", marks=pytest.mark.long)],
)
def test_a_bundles_scores_are_its_models(kind, trained, step, few_people, tmp_path):
    config, model = trained
    expected = evaluate_run(model, config, 0)
    graph = step if kind == "step" else graph_of(model, kind)
    found = measure(bundle_of(trained, graph, tmp_path / "b.onnx", kind), config, 0)
    assert found.keys() == expected.keys() == {"all", "face only", "audio only", "bursts"}
    for pattern, scores in expected.items():
        assert found[pattern].keys() == scores.keys()
        for name, value in scores.items():
            assert found[pattern][name] == pytest.approx(value, rel=2e-3, abs=2e-4), (pattern, name)


def test_eight_bit_weights_are_smaller_and_nearly_the_same_model(trained, step, tmp_path):
    whole = bundle_of(trained, step, tmp_path / "a.onnx")
    small = bundle_of(trained, quantised(step), tmp_path / "b.onnx")
    again = bundle_of(trained, quantised(step), tmp_path / "c.onnx")
    assert small.path.read_bytes() == again.path.read_bytes()
    assert small.path.stat().st_size < 0.6 * whole.path.stat().st_size
    rng = np.random.default_rng(0)
    fed = {"face": rng.normal(0, 20, (5, 57)), "audio": rng.normal(0, 20, (5, 44))}
    fed |= {"mask": np.ones((5, 2)), "state_h": np.zeros((5, 32))}
    fed = {k: v.astype(np.float32) for k, v in fed.items()}
    a, b = (bundle.session.run(["engagement_mean"], fed)[0] for bundle in (whole, small))
    assert not np.array_equal(a, b)
    np.testing.assert_allclose(a, b, atol=0.05)
