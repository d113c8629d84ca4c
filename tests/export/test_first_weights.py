"""export/first_weights.py: a bundle's weights are those of the model it was made of."""

import msgspec
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.export.first_weights import first_weights
from enrapt.models.config import build, load_config


def test_the_shipped_bundle_has_all_weights_of_its_model_but_the_targets_encoder():
    found = first_weights("default", "mood", 25)
    config = load_config("default").model
    sizes = msgspec.json.decode(msgspec.json.encode(config))
    assert {key: sizes[key] for key in found.model} == found.model
    mood = msgspec.structs.replace(config.modalities[-1], name="mood")
    model = build(msgspec.structs.replace(config, modalities=(*config.modalities[:-1], mood)))
    own = model.state_dict()
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        name: own[name].shape for name in found.tensors
    }
    unused = ("phi.mood.", "expert.mood.", "center_mood", "scale_mood", "decoder.mood.widening")
    # A bundle's weights are those of usual layers; its whitening is in them.
    without = {n for n in own if n.startswith(unused) or n.endswith(".whitening")}
    assert {name for name in own if name not in found.tensors} == without
    assert all(torch.isfinite(tensor).all() for tensor in found.tensors.values())


def test_it_fits_a_study_with_one_of_its_modalities():
    found = first_weights("default", "mood", 25)
    assert found.fit({"face": 57, "ecg": 1})
    assert not found.fit({"face": 17, "ecg": 1})


def test_another_rate_or_a_model_of_another_is_a_line():
    with pytest.raises(UserError, match="of 25 ticks/s; give --rate 25"):
        first_weights("default", "mood", 10)
    with pytest.raises(UserError, match="a forward_filter learns from another model"):
        first_weights("mdvae", "mood", 25)
