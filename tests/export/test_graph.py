import numpy as np
import pytest
import torch

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.bundle.sequence import initial_states, run_sequence
from enrapt.export.graph import ModelGraph
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models.batch import Batch
from enrapt.models.config import load_config
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality

B, T = 3, 6


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MMVRNN(
        MMVRNNConfig(
            (
                Modality("a", 4),
                Modality("b", 3, likelihood="normal"),
                Modality("role", 2, role="context"),
                Modality("y", 1, role="target", likelihood="logit_normal"),
            ),
            hidden=12,
            latent=3,
        )
    ).eval()


def arguments(*axes):
    """Random inputs, mask and state of the model's graph."""
    g = torch.Generator().manual_seed(1)
    x = [torch.randn(*axes, d, generator=g) for d in (4, 3, 2)]
    mask = (torch.rand(*axes, 3, generator=g) < 0.6).float()
    return [*x, mask, torch.randn(axes[0], 12, generator=g)]


@torch.no_grad()
def test_a_step_is_one_tick_of_the_models_own_pass(model):
    *x, mask, h = arguments(B)
    *estimate, z_mean, z_std, surprise, after = ModelGraph(model, "step")(*x, mask, h)
    values = dict(zip(("a", "b", "role"), (v.unsqueeze(1) for v in x), strict=True))
    present = {name: mask[:, [i]].bool() for i, name in enumerate(values)}
    filtered = model.filter(Batch(values, present), (h,))
    nats, (state,) = filtered.surprise, filtered.state
    inferred = model.inferred(model.encoded(values, present), None, (h,))
    latent = inferred.latents["z"]
    for found, expected in zip(estimate, filtered.prediction["y"], strict=True):
        torch.testing.assert_close(found, expected[:, 0])
    torch.testing.assert_close(z_mean, latent.mean[:, 0])
    torch.testing.assert_close(z_std, latent.precision[:, 0].rsqrt())
    torch.testing.assert_close(surprise[:, :2], torch.cat([nats["a"], nats["b"]], 1))
    assert (surprise[:, 2] == 0).all()  # a context is not decoded
    torch.testing.assert_close(after, state)


@torch.no_grad()
def test_a_full_graph_decodes_z_at_the_noise_given(model):
    given = arguments(B)
    noise = torch.randn(B, 3, generator=torch.Generator().manual_seed(2))
    *step, a, b = ModelGraph(model, "full")(*given, noise)
    for found, expected in zip(step, ModelGraph(model, "step")(*given), strict=True):
        assert torch.equal(found, expected)
    means = model.decode({"z": step[4] + noise * step[5], "h": given[-1]})
    assert torch.equal(a, means["a"])
    assert torch.equal(b, means["b"])


@pytest.mark.long
def test_a_block_in_onnx_runtime_is_as_many_steps(model, tmp_path):
    def bundle_of(kind):
        content, path = graph_of(model, kind), tmp_path / f"{kind}.onnx"
        metadata = describe(load_config("default"), model, kind, 0, digest(content))
        path.write_bytes(with_metadata(content, metadata))
        return Bundle.load(path)

    names = ("a", "b", "role", "mask")
    feed = {name: v.numpy() for name, v in zip(names, arguments(B, T)[:-1], strict=True)}
    step, block = (
        run_sequence(bundle, feed, initial_states(bundle, B)) for bundle in map(bundle_of, ("step", "block"))
    )
    for found, expected in zip(step, block, strict=True):
        assert found.keys() == expected.keys()
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)
