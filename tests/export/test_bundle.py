import random

import msgspec
import numpy as np
import onnx
import pytest

from enrapt.contracts.errors import UserError
from enrapt.export.bundle import KEY, Bundle, digest, find_bundle, read_metadata


def metadata_of(model: onnx.ModelProto) -> dict:
    return msgspec.json.decode(model.metadata_props[0].value)


def described(model: onnx.ModelProto, **changes: object) -> bytes:
    metadata = metadata_of(model) | changes
    del model.metadata_props[:]
    metadata["sha256"] = digest(model.SerializeToString())
    model.metadata_props.add(key=KEY, value=msgspec.json.encode(metadata).decode())
    return model.SerializeToString()


@pytest.fixture
def model(tiny_bundle):
    return onnx.load(tiny_bundle)


def test_a_bundle_says_what_it_is(tiny_bundle):
    metadata = Bundle.load(tiny_bundle).metadata
    assert metadata.name == "tiny"
    assert [m.name for m in metadata.inputs] == ["face", "audio"]


def test_the_shipped_bundle_loads_by_its_name():
    metadata = Bundle.load("default").metadata
    assert metadata.name == "default"
    assert metadata.rate == 25
    assert {m.schema for m in metadata.inputs} == {"face/1", "audio/1"}
    assert "validated on no human" in metadata.training_data.limits
    assert find_bundle("default").stat().st_size < 2e6


def test_the_digest_is_of_all_but_the_description(model):
    before = digest(model.SerializeToString())
    model.metadata_props[0].value = "other"
    assert digest(model.SerializeToString()) == before
    model.graph.initializer[0].name = "other"
    assert digest(model.SerializeToString()) != before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle_version": 9}, "bundle version 9"),
        ({"rate": "often"}, r"rate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_description_that_does_not_fit_is_named(model, changes, said):
    with pytest.raises(UserError, match=said):
        read_metadata(described(model, **changes), "it")


def test_a_schema_that_this_version_does_not_know_is_named(model):
    modalities = metadata_of(model)["modalities"]
    modalities[0]["schema"] = "face/7"
    with pytest.raises(UserError, match=r"unknown feature schema 'face/7'.*face/1"):
        read_metadata(described(model, modalities=modalities), "it")
    modalities[0] |= {"schema": "face/1", "dim": 3}
    with pytest.raises(UserError, match="face has 3 numbers"):
        read_metadata(described(model, modalities=modalities), "it")


def test_a_graph_without_what_it_describes_is_refused(model, tmp_path):
    states = [*metadata_of(model)["states"], {"name": "mood", "shape": [2], "initial": 0.0}]
    path = tmp_path / "b.onnx"
    path.write_bytes(described(model, states=states))
    with pytest.raises(UserError, match="no input 'state_mood'"):
        Bundle.load(path)


def test_foreign_and_missing_files_are_refused_in_a_line(model, tmp_path):
    del model.metadata_props[:]
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(model.SerializeToString())
    for name, content in (("foreign.onnx", None), ("empty.onnx", b""), ("text.onnx", b"hello, I am text\n")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError) as error:
            Bundle.load(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"no such bundle.*default"):
        Bundle.load(tmp_path / "none.onnx")


def test_a_damaged_bundle_never_loads(tiny_bundle, tmp_path):
    """Any byte flipped or cut off: refused before ONNX Runtime sees it."""
    whole = tiny_bundle.read_bytes()
    rng = random.Random(0)
    path = tmp_path / "damaged.onnx"
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            bundle = Bundle.load(path)
        except UserError:
            refused += 1
            continue
        # What is left: letters of the description that may be anything.
        assert digest(bytes(data)) == bundle.metadata.sha256
    assert refused > 200


def test_a_step_needs_nothing_but_the_file(tiny_bundle):
    session = Bundle.load(tiny_bundle).session
    values = {i.name: np.zeros((3, i.shape[1]), np.float32) for i in session.get_inputs()}
    assert session.run(["engagement_mean"], values)[0].shape == (3, 1)
