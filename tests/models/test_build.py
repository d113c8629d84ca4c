import msgspec
import pytest
from torch import nn

from enrapt.models.config import ModelConfig, build
from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.forward_filter import ForwardFilter, ForwardFilterConfig
from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig
from enrapt.models.vq_vae import VQVAE, VQVAEConfig

TWO = (Modality("a", 3, likelihood="normal"), Modality("b", 2, likelihood="bernoulli"))
TARGET = Modality("y", 1, role="target", likelihood="logit_normal")
CONFIGS = {
    MMVRNN: MMVRNNConfig((*TWO, TARGET), hidden=8, latent=2),
    MDVAE: MDVAEConfig(TWO, hidden=8),
    MVAE: MVAEConfig(TWO, hidden=(8,)),
    DMVAE: DMVAEConfig(TWO, private=(1, 1), hidden=(8,)),
    ForwardFilter: ForwardFilterConfig(MDVAEConfig(TWO, hidden=8), hidden=4),
    VQVAE: VQVAEConfig((16,), hidden=4),
}


@pytest.mark.parametrize("model", CONFIGS)
def test_a_configuration_survives_json_and_builds_its_model(model):
    config = CONFIGS[model]
    every = ModelConfig | VQVAEConfig
    again = msgspec.convert(msgspec.to_builtins(config), every)
    assert again == config
    built = build(again)
    assert type(built) is model
    assert isinstance(built, nn.Module)


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("forward_filter", {"smoother": {"model": "mdvae", "modalities": []}}),
        ("forward_filter", {"smoother": msgspec.to_builtins(CONFIGS[MDVAE]), "hidden": 0}),
        ("vq_vae", {"shape": [15]}),
        ("nonesuch", {}),
    ],
)
def test_an_invalid_configuration_is_rejected(model, keys):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"model": model, **keys}, ModelConfig | VQVAEConfig)
