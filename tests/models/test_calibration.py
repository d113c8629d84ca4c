"""One factor on a target's predictive scale, fitted to people whom the model was not trained on."""

import json
from functools import partial

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.export.parity import check_parity
from enrapt.export.write import export_run
from enrapt.models.calibration import HELD, LIMITS, calibrate, for_new_people, widening
from enrapt.models.config import Config, EarlyStopping, Training, build
from enrapt.models.data import Arrays, Recordings
from enrapt.models.fit import fit
from enrapt.models.likelihoods import Parameters
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig
from enrapt.models.run_folder import load_run
from enrapt.models.target import HALF_WIDTH, predictive
from enrapt.models.training import Trainer

torch.set_num_threads(1)

VOICE = Modality("voice", 3, likelihood="normal")
SHARE = Modality("share", 1, "target", "logit_normal", 10.0)
GRADE = Modality("grade", 2, "target", "normal")
FAILED = Modality("failed", 1, "target", "bernoulli")
SMALL = partial(MMVRNNConfig, hidden=6, latent=2)


def config_of(data, model=None, **training):
    training = {"rounds": 3, "streams": 4, "session_seconds": 2.0, "segment_ticks": 10} | training
    model = model or SMALL((VOICE, SHARE))
    return Config(1, "t", "t", 10, model, Training(str(data), calibrate=True, **training))


def constant(model):
    """With predictions that depend on nothing, the same for every target."""
    for m in model.targets:
        decoder = model.target_decoder(m)
        decoder.of_z.weight.data.zero_()
        decoder.of_h[-1].weight.data.zero_()
        decoder.of_h[-1].bias.data.fill_(0.4)
    return model.eval()


def labels(model, m, factors):
    """Labels that need these factors on the interval of a constant prediction."""
    with torch.no_grad():
        (found,) = model.filter({"voice": torch.zeros(1, 1, 3)}).prediction.values()
    low, high = found.low[0, 0, 0], found.high[0, 0, 0]
    if m.likelihood == "logit_normal":
        low, high = torch.logit(low), torch.logit(high)
    y = (low + high) / 2 + (high - low) / 2 * torch.as_tensor(factors, dtype=torch.float32)
    return torch.sigmoid(y) if m.likelihood == "logit_normal" else y


@pytest.mark.parametrize("factor", [0.25, 1.0, 1.7])
def test_it_multiplies_the_scale_of_the_prediction(factor):
    known, variance = Parameters(torch.tensor([0.3]), torch.tensor([0.6])), torch.tensor([0.28])
    scale = factor * 0.8
    for likelihood, own in (("normal", known), ("laplace", known._replace(scale=known.scale / 2**0.5))):
        found = predictive(likelihood, own, variance, factor)
        assert found.mean.item() == pytest.approx(0.3)
        assert found.std.item() == pytest.approx(scale)
        assert found.high.item() == pytest.approx(0.3 + HALF_WIDTH * scale)
    found = predictive("logit_normal", known, variance, factor)
    wide = predictive("logit_normal", Parameters(known.location, torch.tensor([scale])), torch.zeros(1))
    for one, other in zip(found, wide, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("target", [SHARE, Modality("grade", 1, "target", "normal")])
@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_known_factor_is_found(target, factor):
    """Nine of ten labels need that factor or less, of each of two people; of new people they need more."""
    model = constant(MMVRNN([VOICE, target], hidden=6, latent=2))
    needed = factor * np.arange(1, 11) / 9
    y = labels(model, target, np.stack([needed, -needed[::-1]]))[..., None]
    data = {"voice": torch.randn(2, 10, 3), target.name: y}
    arrays = Arrays(model.checked(data), model.checked(data), 32)
    for _ in range(2):  # again: not applied twice
        found = calibrate(model, arrays, 10, 0)
        assert found[target.name] == pytest.approx(factor * for_new_people(2), rel=1e-3)
        assert model.target_decoder(target).widening.item() == pytest.approx(found[target.name])
    model.target_decoder(target).widening /= for_new_people(2)
    with torch.no_grad():
        prediction = model.filter({"voice": data["voice"]}).prediction[target.name]
    slack = 1e-4
    held = (y >= prediction.low - slack) & (y <= prediction.high + slack)
    assert held.float().mean().item() == pytest.approx(0.9)


def test_each_person_and_each_pattern_counts_the_same():
    few, many = np.linspace(0, 1, 10), np.full(990, 3.0)
    # Half of the weight needs 3: 90 % are held at 3, although 990 of the 1000 labels are one person's.
    assert widening({"anna": {"all": [few]}, "ben": {"all": [many]}}) == 3.0 * for_new_people(2)
    people = {f"p{k}": {"all": [few]} for k in range(19)} | {"ben": {"all": [many]}}
    # 18 of 20 people are held, out of 19 whose labels need at most 1.
    assert widening(people) == pytest.approx(for_new_people(20))
    one = widening({"anna": {"all": [few], "bursts": [few[:5], few[5:] + 1]}})
    assert one == pytest.approx((1 + 7 / 9) * for_new_people(1))


def test_few_people_say_less_of_new_ones():
    """Of draws from N(0, s²), one a person, the interval holds 90 % of new draws, whatever their number."""
    for number in (1, 4, 20):
        draws = np.random.default_rng(number).normal(size=(20_000, number + 1))
        spread = np.sqrt((draws[:, :number] ** 2).mean(1))
        reach = HALF_WIDTH * spread * for_new_people(number)
        assert (np.abs(draws[:, -1]) <= reach).mean() == pytest.approx(0.9, abs=0.01)
    assert for_new_people(10**9) == pytest.approx(1.0, rel=1e-6)


factors = st.lists(st.floats(0.01, 20), min_size=1, max_size=30).map(np.array)


@given(st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.sampled_from("xyz"), factors, min_size=1),
                       min_size=1), st.floats(1.0, 3.0))  # fmt: skip
def test_it_is_the_smallest_that_holds_enough_and_rises_with_what_is_needed(people, times):
    def needed(scale):
        return {p: {k: [scale * v] for k, v in patterns.items()} for p, patterns in people.items()}

    def held(factor):
        return np.mean([np.mean([(v <= factor).mean() for v in p.values()]) for p in people.values()])

    found = widening(needed(1.0))
    assert LIMITS[0] <= found <= LIMITS[1]
    if LIMITS[0] < found < LIMITS[1]:
        found /= for_new_people(len(people))
        assert held(found * (1 + 1e-9)) >= HELD - 1e-6
        assert held(found * (1 - 1e-9)) < HELD + 1e-6
    assert widening(needed(times)) >= widening(needed(1.0))


def test_a_target_without_a_scale_or_without_labels_stays_as_it_is():
    model = MMVRNN([VOICE, SHARE, FAILED, GRADE], hidden=6, latent=2)
    data = {"voice": torch.randn(3, 10, 3), "failed": torch.ones(3, 10, 1), "share": torch.rand(3, 10, 1)}
    arrays = Arrays(model.checked(data), model.checked(data), 2)
    assert set(calibrate(model, arrays, 10, 0)) == {"share"}
    assert model.target_decoder(FAILED).widening == model.target_decoder(GRADE).widening == 1


def test_models_that_look_ahead_have_none():
    model = build(MDVAEConfig((VOICE, SHARE), hidden=6, static=2, shared=2, private=2))
    data = {"voice": torch.randn(3, 10, 3), "share": torch.rand(3, 10, 1)}
    arrays = Arrays(model.checked(data), model.checked(data), 2)
    assert calibrate(model, arrays, 10, 0) == {}


@pytest.fixture
def folder(tmp_path):
    """Sessions of several lengths; anna has two."""
    rng, index = np.random.default_rng(0), {}
    for part, count in (("train", 4), ("validation", 3), ("test", 2)):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        index[part] = {}
        for k in range(count):
            length = 40 if k else 12
            np.savez(
                tmp_path / "sessions" / part / f"{k}.npz",
                voice=rng.normal(size=(length, 3)), share=rng.random((length, 1)),
            )  # fmt: skip
            index[part][f"{k}.npz"] = {"session": str(k), "person": f"{part} {k // 2}"}
    (tmp_path / "sessions/sessions.json").write_text(json.dumps(index))
    return tmp_path / "sessions"


def test_sessions_are_pooled_by_person(folder):
    """Of two people; the first has a session that needs more."""
    config = config_of(folder)
    model = constant(build(config.model))
    for k, factor in enumerate((1.0, 1.0, 2.0)):  # anna: 12 labels and 40, ben: 40
        length = 40 if k else 12
        y = labels(model, SHARE, np.full(length, factor))[:, None].numpy()
        np.savez(folder / "validation" / f"{k}.npz", voice=np.zeros((length, 3)), share=y)
    found = calibrate(model, Recordings(config, training=True), 10, 0)
    assert found["share"] == pytest.approx(2.0 * for_new_people(2), rel=1e-3)  # half of the people


def trained(config, folder, progress=lambda progress: None):
    Trainer(config, 3, folder).run(progress)
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("stopping", [None, EarlyStopping(1, 9)])
def test_a_run_that_is_resumed_or_repeated_ends_with_the_same_factor(folder, tmp_path, stopping):
    config = config_of(folder, early_stopping=stopping)
    weights = trained(config, tmp_path / "run")
    factor = load_run(tmp_path / "run")[1].target_decoder(SHARE).widening.item()
    assert factor != 1
    assert trained(config, tmp_path / "run") == weights

    def kill(progress):
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            trained(config, tmp_path / "other", kill)
    assert trained(config, tmp_path / "other") == weights


def test_weights_of_another_run_come_without_its_factor(folder, tmp_path):
    trained(config_of(folder), tmp_path / "first")
    config = msgspec.structs.replace(
        config_of(folder), training=Training(str(folder), rounds=1, initial=str(tmp_path / "first"))
    )
    assert Trainer(config, 0, None).model.target_decoder(SHARE).widening == 1


def test_it_does_not_change_training(folder, tmp_path):
    """But for the factor, the weights are those of a run without."""
    config = config_of(folder)
    plain = msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, calibrate=False)
    )
    trained(config, tmp_path / "run")
    trained(plain, tmp_path / "plain")
    one, other = (load_run(tmp_path / name)[1].state_dict() for name in ("run", "plain"))
    assert {k for k in one if not torch.equal(one[k], other[k])} == {"decoder.share.widening"}


def test_the_validation_people_have_to_exist(folder):
    for path in (folder / "validation").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="validation: no sessions"):
        Trainer(config_of(folder), 0, None)


def test_a_bundle_has_the_factor_in_its_graph_and_its_description(folder, tmp_path):
    trained(config_of(folder), tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "share.onnx")
    bundle, model = Bundle.load(tmp_path / "share.onnx"), load_run(tmp_path / "run")[1]
    factor = model.target_decoder(SHARE).widening
    assert bundle.metadata.widening == pytest.approx(factor.item(), abs=1e-4)
    assert check_parity(model, bundle, ticks=50) < 1e-5
    factor.fill_(1.0)
    with pytest.raises(UserError, match=r"engagement_\w+ differs"):
        check_parity(model, bundle, ticks=50)


@pytest.mark.parametrize("axes", [1, 2])
def test_fit_has_it_too(axes):
    x = torch.randn(40, 3) if axes == 1 else torch.randn(6, 12, 3)
    data = {"voice": x, "share": torch.sigmoid(x[..., :1])}
    model = build(MVAEConfig((VOICE, SHARE), hidden=(6,), latent=2, cross=1.0) if axes == 1
                  else SMALL((VOICE, SHARE)))  # fmt: skip
    fit(model, data, validation=data, epochs=2, calibrate=True)
    assert model.target_decoder(SHARE).widening != 1
    fit(model, data, epochs=1)
    assert model.target_decoder(SHARE).widening == 1  # of other weights
    with pytest.raises(UserError, match="calibrate needs validation data"):
        fit(model, data, epochs=1, calibrate=True)
