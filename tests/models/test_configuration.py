"""Configurations of any numbers: trained, or one line."""

import math
import os

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.models import MVAE, fit
from enrapt.models.annealing import Annealing
from enrapt.models.checked import Checked
from enrapt.models.config import Config, Training, build, load_config
from enrapt.models.dmvae import DMVAEConfig
from enrapt.models.forward_filter import ForwardFilterConfig
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.missing import Dropout
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig

TARGET = Modality("engagement", 1, "target", "logit_normal")
MODALITIES = (Modality("face", 3), TARGET)
MODELS = (
    MMVRNNConfig(MODALITIES),
    MDVAEConfig(MODALITIES),
    MVAEConfig(MODALITIES),
    DMVAEConfig(MODALITIES, private=1),
    ForwardFilterConfig(MDVAEConfig(MODALITIES)),
)
EARLY = {"every": 2, "patience": 3}


def described(model) -> dict:
    config = Config(1, "a", "b", 25, model, Training(data="sessions"))
    content = msgspec.to_builtins(config)
    content["training"]["early_stopping"] = dict(EARLY)
    return content


def numbers(value, *where):
    """The path of every number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from numbers(inner, *where, key)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_number_is_finite_and_bounded(model):
    builtins = msgspec.json.decode(msgspec.json.encode(described(model)))
    paths = list(numbers(builtins))
    assert len(paths) > 15
    for *way, last in paths:
        for value in (math.nan, math.inf, -math.inf, -1, 10**12, 1e30, 10**400, True, "1"):
            content = msgspec.json.decode(msgspec.json.encode(builtins))
            inner = content
            for key in way:
                inner = inner[key]
            inner[last] = value
            with pytest.raises(ValueError, match=r"Expected|Invalid|out of range") as error:
                msgspec.convert(content, Config)
            assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annealing(beta=math.nan), "beta: Expected `float` >= 0"),
        (lambda: Dropout(absent=0.6, bursts=0.6), "sum of at most 1"),
        (lambda: Modality("face", -1), "dim: Expected `int` >= 0"),
        (lambda: Modality("face"), "face: give its dim, or its shape"),
        (lambda: Modality("face", 3, shape=(2, 2)), r"face: a shape of \[2, 2\] has not 3 dimensions"),
        (lambda: Modality("face", shape=(3, 0)), "shape: Expected `int` >= 1"),
        (lambda: Modality("face", shape=(1000, 1000)), "more than 100,000 dimensions"),
        (lambda: Modality("face", 3, encoder=3), "face: an encoder or decoder is an nn.Module or its text"),
        (lambda: Modality("face", 3, scale=0.0), "scale: Expected `float` > 0"),
        (lambda: MVAEConfig(MODALITIES, hidden=(0,)), "hidden: Expected"),
        (lambda: msgspec.structs.replace(Training(), learning_rate=math.nan), "learning_rate: Expected"),
    ],
)
def test_what_is_made_in_python_is_checked_as_well(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["forward", "type", "training", "mask", "state_h", "a.b", "", "../x", "a\n"])
def test_names_that_a_model_or_bundle_cannot_have_are_refused(name):
    with pytest.raises(ValueError, match=r"called|name: Expected"):
        Modality(name, 3)


def test_a_model_larger_than_a_bundle_is_not_built():
    with pytest.raises(UserError, match="parameters, more than"):
        build(MMVRNNConfig(MODALITIES, hidden=100_000))


def test_a_round_that_memory_does_not_hold_is_refused():
    with pytest.raises(ValueError, match="lower streams or session_seconds"):
        Config(1, "a", "b", 25, MODELS[0], Training(streams=100_000, session_seconds=3600))
    with pytest.raises(ValueError, match="at least a tick"):
        Config(1, "a", "b", 25, MODELS[0], Training(session_seconds=0.001))


TOML = msgspec.json.encode(described(MODELS[0])).decode()


def outcome(path) -> bool:
    try:
        assert isinstance(load_config(path), Checked)
    except UserError as error:
        line = str(error)
    else:
        return True
    assert line.isprintable()
    assert len(line) < 400 + len(str(path))
    return False


@settings(max_examples=100)
@given(st.binary(max_size=100), st.sampled_from(["a.toml", "a.json"]))
def test_any_bytes_are_one_line(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    assert not outcome(path)


@settings(max_examples=150)
@given(st.data())
def test_an_altered_configuration_is_read_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "a.json"
    at = data.draw(st.integers(0, len(TOML) - 1))
    end = data.draw(st.integers(at, min(at + 5, len(TOML))))
    path.write_text(
        TOML[:at] + data.draw(st.text('0123456789eE-+."{}[],:na\x1b\u202e', max_size=5)) + TOML[end:]
    )
    outcome(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        "version = 1".encode("utf-16"),
        b"x = " + b"[" * 20_000,
        b"x = " + b"9" * 5000,
        b"x = 1" + b"\0",
    ],
    ids=["bytes", "utf-16", "deep", "digits", "nul"],
)
def test_hostile_text_is_one_line(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    assert not outcome(tmp_path / "a.toml")


def test_only_a_small_regular_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("#" * 2**21)
    for path in (tmp_path, tmp_path / "a.toml", tmp_path / "b.toml", "/dev/zero", tmp_path / "none.toml"):
        assert not outcome(path)


def test_data_are_where_the_configuration_is(tmp_path, monkeypatch):
    path = tmp_path / "study" / "mine.toml"
    path.parent.mkdir()
    path.write_text(
        'version = 1\nname = "a"\ndescription = "b"\nrate = 25\ntraining.data = "sessions"\n'
        '[model]\nmodel = "mvae"\nmodalities = [{name = "face", dim = 3}]\n'
    )
    monkeypatch.chdir("/")
    assert load_config(path).training.data == str(path.parent / "sessions")


def test_simulated_data_are_in_no_folder():
    assert load_config("default").training.data == "conversation"


@pytest.mark.parametrize("model", MODELS[2:4], ids=lambda model: type(model).__name__)
def test_dropout_is_an_error_where_it_would_have_no_effect(model):
    with pytest.raises(ValueError, match=r"training\.dropout: is for models of sequences"):
        Config(1, "a", "b", 25, model, Training(dropout=Dropout(absent=0.5)))


def test_annealing_that_does_not_end_is_noted():
    def notes(**keys):
        return Config(1, "a", "b", 25, MODELS[0], Training(rounds=24, annealing=Annealing(**keys))).notes

    assert notes(rounds=24) == notes(rounds=100, schedule="constant") == []
    assert notes(rounds=47, schedule="cyclical") == []  # its first rise takes half of a cycle
    assert notes(rounds=94, ramp=0.25, schedule="cyclical") == []
    (note,) = notes(rounds=60)
    assert "β ends at 0.4 instead of 1" in note


def test_given_arrays_may_have_many_numbers():
    """They are in memory anyway; `session_seconds` says nothing of them."""
    model = MVAE([Modality("image", 20_000, likelihood="bernoulli")], latent=2, hidden=(4,))
    fit(model, {"image": torch.zeros(2, 20_000)}, epochs=1)
