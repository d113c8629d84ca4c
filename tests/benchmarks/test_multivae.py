"""Our side of the comparison with MultiVae; the other needs an environment of its own."""

import importlib
from pathlib import Path

import pytest
import torch

from enrapt.models.importance import log_weights

SIDES = Path(__file__).parents[2] / "benchmarks" / "side_by_side"


@pytest.mark.parametrize("networks", ["cnn", "mlp"])
@pytest.mark.parametrize("kind", ["mvae", "dmvae"])
def test_our_side_trains_and_predicts_and_its_log_likelihood_is_the_models(monkeypatch, kind, networks):
    monkeypatch.syspath_prepend(SIDES)
    user, worker = importlib.import_module("with_enrapt"), importlib.import_module("worker")
    monkeypatch.setattr(worker, "SAMPLES", 1)
    torch.manual_seed(0)
    image = (torch.rand(12, 1, 28, 28) < 0.2).float()
    label = torch.eye(10)[torch.arange(12) % 10]
    model = user.mvae(networks, 4) if kind == "mvae" else user.dmvae(networks, 4, {"image": 4, "label": 0})
    user.train(model, image, label, 4, 2, 1e-3, None, lambda progress: None)
    assert user.label_of(model, image).shape == label.shape
    assert user.image_of(model, label).shape == image.shape
    x, mask = {"image": image.flatten(1)}, {"image": torch.ones(12, dtype=torch.bool)}
    draw = torch.randn(12, sum(model.sizes.values()), generator=torch.Generator().manual_seed(0))
    noise = dict(zip(model.sizes, draw.unsqueeze(0).split([*model.sizes.values()], -1), strict=True))
    with torch.no_grad():
        found = worker.log_likelihood(image, *worker.parts_of_enrapt(model, kind))
        expected = log_weights(model, x, mask, model.drawn(model.encoded(x, mask), noise))
    torch.testing.assert_close(found, expected.squeeze(0))
