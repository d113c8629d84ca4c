"""Networks of classes of the caller's own: kept with a run, given to `load` and `export_run` again."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.export import export_run
from enrapt.models import MDVAE, MMVRNN, ForwardFilter, Modality, fit, load
from enrapt.realtime.engine.engine import Engine

torch.set_num_threads(1)


class Window(nn.Module):
    """A recurrence over the 12 samples of a tick."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x.transpose(1, 2))[1][0]


class ByValue(nn.Module):
    """What it computes depends on its values, so it has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.linear(x) if x.sum().item() > 0 else self.linear(-x)


def modalities(encoder):
    wave = Modality("wave", shape=(1, 12), likelihood="normal", encoder=encoder)
    return [wave, Modality("calm", 1, role="target", likelihood="logit_normal")]


def data():
    u = torch.randn(6, 10, 1, generator=torch.Generator().manual_seed(0))
    return {"wave": (u * torch.ones(12)).unsqueeze(2), "calm": torch.sigmoid(u)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, kind in (("window", Window), ("by_value", ByValue)):
        torch.manual_seed(0)
        model = MMVRNN(modalities(kind()), hidden=6, latent=2)
        fit(model, data(), epochs=1, device="cpu", folder=folder / name)
    mdvae = MDVAE(modalities(Window()), hidden=6, static=2, shared=2, private=2)
    fit(ForwardFilter(mdvae, hidden=6), data(), epochs=1, device="cpu", folder=folder / "filter")
    return folder


@pytest.mark.parametrize("run", ["window", "filter"])
def test_a_run_with_a_class_of_its_own_becomes_a_bundle(run, runs, tmp_path):
    given = {"wave": Window()}
    assert export_run(runs / run, tmp_path / "wave.onnx", held_out=data(), encoders=given) < 1e-4
    bundle, model = Bundle.load(tmp_path / "wave.onnx"), load(runs / run, encoders=given)
    assert bundle.metadata.quality["all"].keys() >= {"ccc", "rmse"}
    x = np.linspace(-1, 1, 12, dtype=np.float32)
    with torch.no_grad():
        expected = model.filter({"wave": x.reshape(1, 1, 1, 12)}).prediction["calm"].mean
    assert Engine(bundle).step({"wave": x}).mean == pytest.approx(expected.item(), abs=1e-4)


def test_without_it_the_line_says_where_to_give_it(runs, tmp_path):
    text = r"the encoder of wave, Window, is not kept with a run: give the module in Python, to `load` or"
    for call in (lambda: load(runs / "window"), lambda: export_run(runs / "window", tmp_path / "a.onnx")):
        with pytest.raises(UserError, match=text):
            call()
    assert not list(tmp_path.iterdir())


def test_a_network_that_has_no_graph_is_one_line_and_no_file(runs, tmp_path):
    with pytest.raises(UserError, match="PyTorch cannot make a graph of this model") as error:
        export_run(runs / "by_value", tmp_path / "a.onnx", encoders={"wave": ByValue()})
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
