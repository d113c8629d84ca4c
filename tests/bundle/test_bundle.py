import random
import subprocess
import sys

import msgspec
import numpy as np
import onnx
import pytest

from enrapt.bundle.bundle import Bundle, find_bundle
from enrapt.bundle.metadata import KEY, ModalitySpec, digest, read_metadata
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from tests.support.damage import damaged


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


def test_a_bundle_describes_itself(tiny_bundle):
    metadata = Bundle.load(tiny_bundle).metadata
    assert metadata.name == "tiny"
    assert [m.name for m in metadata.inputs] == ["face", "audio"]


def test_a_bundle_of_any_modalities_loads(three_bundle):
    metadata = Bundle.load(three_bundle).metadata
    assert [(m.name, m.dim, m.schema) for m in metadata.inputs] == [
        ("gaze", 3, "gaze/1"), ("heart", 2, None), ("voice", 44, "audio/1"),
    ]  # fmt: skip
    assert [m.max_age_at(metadata.rate) for m in metadata.inputs] == [1.0, 0.1, 0.1]


@pytest.mark.parametrize(("name", "size"), [("default", 2e6), ("mdvae", 3e6)])
def test_a_shipped_bundle_loads_by_its_name(name, size):
    metadata = Bundle.load(name).metadata
    assert metadata.name == name
    assert metadata.rate == 25
    assert {(m.schema, m.max_age) for m in metadata.inputs} == {("face/1", 0.25), ("audio/1", 0.1)}
    assert "validated on no human" in metadata.training_data.limits
    assert metadata.quality["all"]["ccc"] > {"default": 0.4, "mdvae": 0.4}[name]
    assert find_bundle(name).stat().st_size < size


def test_the_digest_covers_all_but_the_description(model):
    before = digest(model.SerializeToString())
    model.metadata_props[0].value = "other"
    assert digest(model.SerializeToString()) == before
    model.graph.initializer[0].name = "other"
    assert digest(model.SerializeToString()) != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle_version": 9}, "bundle version 9"),
        ({"rate": "often"}, r"rate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_invalid_description_is_rejected(model, changes, message):
    with pytest.raises(UserError, match=message):
        read_metadata(described(model, **changes), "it")


def test_the_dim_of_a_known_schema_is_checked(model):
    modalities = metadata_of(model)["modalities"]
    modalities[0]["dim"] = 3
    with pytest.raises(UserError, match="face has 3 numbers, but face/1 has 57"):
        read_metadata(described(model, modalities=modalities), "it")


@pytest.mark.parametrize("schema", ["face/2", "gaze/1", None])
def test_a_bundle_may_name_an_unknown_schema_or_none(model, tmp_path, schema):
    modalities = metadata_of(model)["modalities"]
    modalities[0] |= {"schema": schema, "max_age": None}
    path = tmp_path / "b.onnx"
    path.write_bytes(described(model, modalities=modalities))
    face, audio = Bundle.load(path).metadata.inputs
    assert (face.schema, face.dim) == (schema, 57)
    assert face.max_age_at(25) == pytest.approx(0.1)  # 2.5 ticks
    assert audio.max_age_at(25) == AUDIO.max_age


def test_the_max_age_of_a_bundle_precedes_that_of_the_schema():
    spec = ModalitySpec("face", "observed", FACE.dim, "laplace", FACE.name)
    assert spec.max_age_at(25) == FACE.max_age
    assert msgspec.structs.replace(spec, max_age=1.0).max_age_at(25) == 1.0


@pytest.mark.parametrize("name", ["default", "mdvae"])
def test_a_shipped_bundle_says_how_training_people_differ(name):
    for m in Bundle.load(name).metadata.inputs:
        assert m.moments is not None
        assert np.median(m.moments.within) > 0
        assert np.median(m.moments.between) > 0


def test_moments_of_another_size_are_rejected(model):
    modalities = metadata_of(model)["modalities"]
    modalities[0]["moments"] = {"mean": [0.0], "between": [1.0], "within": [1.0]}
    with pytest.raises(UserError, match=r"face has 57 numbers, but moments of \[1\]"):
        read_metadata(described(model, modalities=modalities), "b.onnx")


def test_a_bundle_with_lag_is_rejected(model):
    with pytest.raises(UserError, match="lag 5 ticks"):
        read_metadata(described(model, lag=5), "it")


def test_a_graph_without_a_declared_input_is_rejected(model, tmp_path):
    states = [*metadata_of(model)["states"], {"name": "mood", "shape": [2], "initial": 0.0}]
    path = tmp_path / "b.onnx"
    path.write_bytes(described(model, states=states))
    with pytest.raises(UserError, match="no input 'state_mood'"):
        Bundle.load(path)


def load_altered(model, tmp_path):
    """Load the altered model, with its digest corrected."""
    path = tmp_path / "b.onnx"
    path.write_bytes(described(model))
    return Bundle.load(path)


def test_a_model_with_a_new_description_loads(model, tmp_path):
    assert load_altered(model, tmp_path).metadata.name == "tiny"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0}, r"\$\.rate"),
        ({"rate": 10**6}, r"\$\.rate"),
        ({"lag": -1}, r"\$\.lag"),
        ({"name": ""}, "no name"),
        ({"licence": "\x1b[2J"}, r"\$\.licence"),
        ({"modalities": []}, "no modality is observed"),
        ({"states": [{"name": "h", "shape": [1000, 10000], "initial": 0}]}, "more than 1048576 numbers"),
        ({"states": [{"name": "h", "shape": [2], "initial": 1e39}]}, r"states\[0\].initial"),
        ({"states": [{"name": "h", "shape": [2], "initial": None}]}, r"states\[0\].initial"),
        ({"states": [{"name": "h", "shape": [2], "initial": 0}] * 2}, "two .* are called 'state_h'"),
    ],
)
def test_values_out_of_bounds_are_rejected(model, changes, message):
    with pytest.raises(UserError, match=message):
        read_metadata(described(model, **changes), "it")


def test_two_modalities_of_one_name_are_rejected(model):
    for name in ("face", "mask", "state_ticks"):
        modalities = metadata_of(model)["modalities"]
        modalities[2]["name"] = name
        with pytest.raises(UserError, match=f"two .* are called '{name}'"):
            read_metadata(described(model, modalities=modalities), "it")


def nan_weights(model):
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.full((2, 1), np.nan, "f4"), "weights")
    )


def external_weights(model):
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")


def external_attribute(model):
    value = onnx.numpy_helper.from_array(np.ones(1, "f4"), "there")
    value.external_data.add(key="location", value="elsewhere.bin")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["there"], value=value))


def too_few_weights(model):
    model.graph.initializer[0].dims[0] = 2**40


def typed_weights(model):
    model.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("weights", 1, [2, 1], [0.4, 0.2]))


def text_weights(model):
    model.graph.initializer.append(onnx.helper.make_tensor("words", onnx.TensorProto.STRING, [1], [b"hi"]))


def sparse_weights(model):
    model.graph.sparse_initializer.add().values.name = "few"


def foreign_domain(model):
    model.opset_import.add(domain="com.microsoft", version=1)


def foreign_operator(model):
    model.graph.node[0].domain = "com.example"


def old_opset(model):
    model.opset_import[0].version = 11


def no_opset(model):
    del model.opset_import[:]


def loop(model):
    body = onnx.helper.make_graph([], "forever", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], [], body=body))


def loop_in_a_scan(model):
    inner = onnx.helper.make_node("Loop", ["", ""], [], body=onnx.helper.make_graph([], "forever", [], []))
    body = onnx.helper.make_graph([inner], "once", [], [])
    model.graph.node.append(onnx.helper.make_node("Scan", ["face"], [], body=body, num_scan_inputs=1))


def functions(model):
    model.functions.add().name = "mine"


def no_state_after(model):
    del model.graph.output[-1]


def other_type(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def frozen_batch(model):
    model.graph.input[-1].type.tensor_type.shape.dim[0].dim_value = 1


def scalar_output(model):
    mean = onnx.helper.make_node("ReduceMean", ["engagement_mean"], ["engagement_low"], keepdims=0)
    model.graph.node[2].CopyFrom(mean)
    del model.graph.output[2].type.tensor_type.shape.dim[:]


def divided_by_nothing(model):
    model.graph.node[4].op_type = "Div"
    model.graph.node[4].input[1] = "state_ticks"


def unknown_operator(model):
    model.graph.node[0].op_type = "Divine"


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (nan_weights, "'weights' are NaN"),
        (external_weights, "'weights' are in another file"),
        (external_attribute, "'there' are in another file"),
        (too_few_weights, "'weights' have 8 bytes of raw_data, not"),
        (typed_weights, "'weights' have 0 bytes of raw_data, not"),
        (text_weights, "'words' are of ONNX type 8"),
        (sparse_weights, "sparse"),
        (foreign_domain, "operators of 'com.microsoft'"),
        (foreign_operator, "'MatMul' is of 'com.example'"),
        (old_opset, "opset 11, .* 13 to 21"),
        (no_opset, "opset 0"),
        (loop, "'Loop' contains a graph"),
        (loop_in_a_scan, "'Loop' contains a graph"),
        (functions, "functions of its own"),
        (no_state_after, "no output 'next_state_ticks'"),
        (other_type, "ONNX Runtime .* cannot load it|input 'face' is tensor\\(double\\)"),
        (frozen_batch, "input 'state_ticks' is .* expected float"),
        (scalar_output, r"output 'engagement_low' is tensor\(float\) \[\]"),
        (divided_by_nothing, "'(engagement_std|next_state_ticks)' is NaN"),
        (unknown_operator, "ONNX Runtime .* cannot load it .*Divine"),
    ],
)
def test_disallowed_content_is_rejected_in_one_line(model, tmp_path, alter, message):
    alter(model)
    with pytest.raises(UserError, match=message) as error:
        load_altered(model, tmp_path)
    assert str(error.value).isprintable()


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        Bundle.load(path)


def test_two_descriptions_are_rejected(tiny_bundle, tmp_path):
    other = onnx.ModelProto()
    other.metadata_props.add(key=KEY, value="{}")
    path = tmp_path / "b.onnx"
    path.write_bytes(tiny_bundle.read_bytes() + other.SerializeToString())
    with pytest.raises(UserError, match="2 descriptions"):
        Bundle.load(path)


def test_loading_needs_neither_torch_nor_onnx():
    program = (
        "import sys; from enrapt.bundle.bundle import Bundle; Bundle.load('default'); "
        "print(*{'torch', 'onnx', 'google.protobuf'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_noise_of_a_full_graph_has_the_size_of_the_latents(model, tmp_path):
    path = tmp_path / "b.onnx"
    noise = onnx.helper.make_tensor_value_info("noise", onnx.TensorProto.FLOAT, ["batch", "latent"])
    model.graph.input.append(noise)
    for config in ({}, {"latent": 4}, {"latent": 10**15}, {"latent": "many"}):
        path.write_bytes(described(model, graph="full", config=config))
        with pytest.raises(UserError, match=r"input 'noise' is .* expected float"):
            Bundle.load(path)


def test_foreign_and_missing_files_are_rejected_in_one_line(model, tmp_path):
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
    """Any byte flipped or cut off is rejected before ONNX Runtime reads the file."""
    whole = tiny_bundle.read_bytes()
    rng = random.Random(0)
    path = tmp_path / "damaged.onnx"
    refused = 0
    for _ in range(300):
        path.write_bytes(damaged(whole, rng))
        try:
            bundle = Bundle.load(path)
        except UserError:
            refused += 1
            continue
        # Only free text of the description may differ.
        assert digest(path.read_bytes()) == bundle.metadata.sha256
    assert refused > 200


def test_a_step_needs_nothing_but_the_file(tiny_bundle):
    session = Bundle.load(tiny_bundle).session
    values = {i.name: np.zeros((3, i.shape[1]), np.float32) for i in session.get_inputs()}
    assert session.run(["engagement_mean"], values)[0].shape == (3, 1)
