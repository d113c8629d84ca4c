import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import digest
from enrapt.export.parity import check_parity
from enrapt.export.step import Blocks, StepGraph, softplus
from enrapt.export.write import describe, graph_of, with_metadata
from enrapt.models.config import load_config
from enrapt.models.mm_vrnn import MMVRNN


class Softplus(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return softplus(x)


@pytest.mark.filterwarnings("ignore")  # the exporter warns of its own deprecations
def test_softplus_is_right_everywhere_in_onnx_runtime(tmp_path):
    x = np.concatenate([np.linspace(-30, 30, 6001), [-1e4, -1e3, -88.5, 88.5, 1e3, 1e4]]).astype(np.float32)
    path = tmp_path / "softplus.onnx"
    torch.onnx.export(
        Softplus().eval(), (torch.from_numpy(x),), path, dynamo=True, verbose=False, opset_version=20
    )
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, np.logaddexp(0, x.astype(float)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("size", "apart"), [(4, False), (200, True)])
def test_blocks_are_the_block_diagonal_product(size, apart):
    torch.manual_seed(0)
    weights = [torch.randn(size, size // 2), torch.randn(size + 1, size)]
    biases = [torch.randn(size // 2), torch.randn(size)]
    x = torch.randn(3, 5, 2 * size + 1)
    blocks = Blocks(weights, biases)
    assert blocks.apart == apart
    expected = x @ torch.block_diag(*weights) + torch.cat(biases)
    torch.testing.assert_close(blocks(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kind",
    ["step", pytest.param("full", marks=pytest.mark.long), pytest.param("block", marks=pytest.mark.long)],
)
def test_a_large_model_whose_blocks_are_apart_is_the_same_model(kind, tmp_path):
    config = load_config("default")
    config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, hidden=256))
    torch.manual_seed(0)
    model = MMVRNN(config.model).eval()
    graph = StepGraph(model)
    assert all(b.apart for b in (graph.phi, graph.means, graph.raws, graph.location, graph.raw_scale))
    content, path = graph_of(model, kind), tmp_path / "b.onnx"
    path.write_bytes(with_metadata(content, describe(config, model, kind, 0, digest(content))))
    assert check_parity(model, Bundle.load(path), ticks=60) < 1e-5
