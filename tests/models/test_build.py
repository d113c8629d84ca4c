import msgspec
import pytest
from torch import nn

from enrapt.contracts.errors import UserError
from enrapt.models.config import AnyConfig, build, model_class
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
    DMVAE: DMVAEConfig(TWO, private=1, hidden=(8,)),
    ForwardFilter: ForwardFilterConfig(MDVAEConfig(TWO, hidden=8), hidden=4),
    VQVAE: VQVAEConfig((Modality("a", shape=(16,), likelihood="normal"),), hidden=4),
}


@pytest.mark.parametrize("model", CONFIGS)
def test_a_configuration_survives_json_and_builds_its_model(model):
    config = CONFIGS[model]
    again = msgspec.json.decode(msgspec.json.encode(config), type=AnyConfig)
    assert again == msgspec.convert(msgspec.to_builtins(config), AnyConfig) == config
    assert model_class(again) is model
    built = build(again)
    assert type(built) is model
    assert isinstance(built, nn.Module)


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("forward_filter", {"smoother": {"model": "mdvae", "modalities": []}}),
        ("forward_filter", {"smoother": msgspec.to_builtins(CONFIGS[MDVAE]), "hidden": 0}),
        ("vq_vae", {"modalities": [{"name": "a", "shape": [15], "likelihood": "normal"}]}),
        ("vq_vae", {"modalities": [{"name": "a", "shape": [16], "likelihood": "laplace"}]}),
        ("vq_vae", {"modalities": [{"name": n, "shape": [16], "likelihood": "normal"} for n in "ab"]}),
        ("nonesuch", {}),
    ],
)
def test_an_invalid_configuration_is_rejected(model, keys):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"model": model, **keys}, AnyConfig)


@pytest.mark.parametrize("model", [MMVRNN, MDVAE, MVAE, DMVAE, VQVAE])
def test_a_model_is_made_of_a_configuration_or_of_modalities_and_its_options(model):
    config = CONFIGS[model]
    options = {name: getattr(config, name) for name in config.__struct_fields__ if name != "modalities"}
    made = model(list(config.modalities), **options)
    assert made.config == config
    shapes = {k: v.shape for k, v in model(config).state_dict().items()}
    assert {k: v.shape for k, v in made.state_dict().items()} == shapes


@pytest.mark.parametrize("model", [MMVRNN, MDVAE, MVAE, DMVAE, VQVAE])
def test_an_option_that_a_model_has_not_is_an_error(model):
    with pytest.raises(TypeError, match="colour"):
        model(CONFIGS[model].modalities, colour=3)


def test_a_network_that_does_not_fit_is_one_line():
    for model in (MVAE, DMVAE, MMVRNN, MDVAE):
        first = msgspec.structs.replace(TWO[0], encoder="Linear(4, 8)")
        config = msgspec.structs.replace(CONFIGS[model], modalities=(first, *CONFIGS[model].modalities[1:]))
        with pytest.raises(UserError, match=r"the encoder of a does not take N×3 numbers: .*4") as error:
            build(config)
        assert "\n" not in str(error.value)
