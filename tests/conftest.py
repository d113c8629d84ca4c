from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import settings

from enrapt.bundle.metadata import (
    ESTIMATES,
    KEY,
    VERSION,
    LatentSpec,
    Metadata,
    ModalitySpec,
    StateSpec,
    TrainingData,
    digest,
)
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.features.face_model import find_face_model

settings.register_profile("shared machine", deadline=None)  # how long an example takes is not what is tested
settings.load_profile("shared machine")

FLOAT = onnx.TensorProto.FLOAT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings of real people, which are not ours to ship."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "clips").is_dir():
        pytest.skip("no ../shared/clips beside the repository")
    return folder


@pytest.fixture(scope="session")
def face_model() -> Path:
    """The face landmarker, from wherever this machine has it or can fetch it."""
    beside = Path(__file__).parents[2] / "shared" / "face_model" / "face_landmarker.task"
    try:
        return beside if beside.is_file() else find_face_model()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose estimates tell what it was given.

    Mean 0.2, and 0.4 more with a face, 0.2 more with audio; the interval is 0.1 to either side; the standard
    deviation is a thousandth of the ticks since the start; surprise is the mean of the values.
    """
    dims = {"face": FACE.dim, "audio": AUDIO.dim}

    def tensors(**widths: int) -> list[onnx.ValueInfoProto]:
        return [onnx.helper.make_tensor_value_info(n, FLOAT, ["batch", w]) for n, w in widths.items()]

    def constant(name: str, values: list[list[float]]) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(np.array(values, np.float32), name)

    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("MatMul", ["mask", "weights"], ["seen"]),
            node("Add", ["seen", "bias"], ["engagement_mean"]),
            node("Sub", ["engagement_mean", "half"], ["engagement_low"]),
            node("Add", ["engagement_mean", "half"], ["engagement_high"]),
            node("Add", ["state_ticks", "one"], ["next_state_ticks"]),
            node("Mul", ["next_state_ticks", "thousandth"], ["engagement_std"]),
            *(node("ReduceMean", [name], [f"mean_{name}"], axes=[1]) for name in dims),
            node("Identity", ["engagement_mean"], ["z_mean"]),
            node("Identity", ["engagement_std"], ["z_std"]),
            node("Concat", [f"mean_{name}" for name in dims], ["surprise"], axis=1),
        ],
        "tiny",
        tensors(**dims, mask=2, state_ticks=1),
        tensors(**dict.fromkeys((*ESTIMATES, "z_mean", "z_std"), 1), surprise=2, next_state_ticks=1),
        [
            constant("weights", [[0.4], [0.2]]),
            constant("bias", [[0.2]]),
            constant("half", [[0.1]]),
            constant("one", [[1]]),
            constant("thousandth", [[0.001]]),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    metadata = Metadata(
        bundle_version=VERSION,
        name="tiny",
        version="1",
        model="arithmetic",
        config={"weights": [0.4, 0.2]},
        rate=25,
        modalities=(
            ModalitySpec("face", "observed", FACE.dim, "laplace", FACE.name),
            ModalitySpec("audio", "observed", AUDIO.dim, "normal", AUDIO.name),
            ModalitySpec("engagement", "target", 1, "beta"),
        ),
        states=(StateSpec("ticks", (1,), 0.0),),
        latents=(LatentSpec("z", 1),),
        lag=0,
        training_data=TrainingData("none", "Nothing was learned.", "Tells what it sees, no more.", 0, 0),
        quality={"all present": {"ccc": 0.0}},
        licence="MIT",
        sha256=digest(model.SerializeToString()),
    )
    onnx.helper.set_model_props(model, {KEY: msgspec.json.encode(metadata).decode()})
    path = tmp_path_factory.mktemp("bundles") / "tiny.onnx"
    onnx.save(model, path)
    return path
