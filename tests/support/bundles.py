"""Small bundles whose estimates show what they were given."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx

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

FLOAT = onnx.TensorProto.FLOAT
Observed = tuple[str, int, str | None, float | None]  # name, dim, schema, max_age in seconds


def make_bundle(
    path: Path,
    modalities: Sequence[Observed],
    rate: int = 25,
    weights: Sequence[float] | None = None,
    name: str = "tiny",
) -> Path:
    """Write a bundle that observes `modalities` and predicts engagement by arithmetic.

    The mean is 0.2 plus the weights of the modalities that are present; the interval is 0.1 to either side,
    at most 1; the standard deviation is a thousandth of the ticks since the start, at most 0.5; surprise is
    the mean of each modality's values.

    Args:
        weights: by modality; by default 0.4, 0.2, 0.1, …: any set of present modalities has its own mean.

    Returns:
        `path`.
    """
    dims = {m[0]: m[1] for m in modalities}
    weights = list(weights or (0.4 / 2**i for i in range(len(dims))))

    def tensors(**widths: int) -> list[onnx.ValueInfoProto]:
        return [onnx.helper.make_tensor_value_info(n, FLOAT, ["batch", w]) for n, w in widths.items()]

    def constant(name: str, values: list[list[float]]) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(np.array(values, np.float32), name)

    node = onnx.helper.make_node
    columns = len(dims)
    graph = onnx.helper.make_graph(
        [
            node("MatMul", ["mask", "weights"], ["seen"]),
            node("Add", ["seen", "bias"], ["engagement_mean"]),
            node("Sub", ["engagement_mean", "half"], ["engagement_low"]),
            node("Add", ["engagement_mean", "half"], ["above"]),
            node("Add", ["state_ticks", "one"], ["next_state_ticks"]),
            node("Mul", ["next_state_ticks", "thousandth"], ["age"]),
            *(node("ReduceMean", [modality], [f"mean_{modality}"], axes=[1]) for modality in dims),
            node("Min", ["above", "one"], ["engagement_high"]),
            node("Min", ["age", "most"], ["engagement_std"]),
            node("Identity", ["engagement_mean"], ["z_mean"]),
            node("Identity", ["engagement_std"], ["z_std"]),
            node("Concat", [f"mean_{modality}" for modality in dims], ["surprise"], axis=1),
        ],
        name,
        tensors(**dims, mask=columns, state_ticks=1),
        tensors(**dict.fromkeys((*ESTIMATES, "z_mean", "z_std"), 1), surprise=columns, next_state_ticks=1),
        [
            constant("weights", [[weight] for weight in weights]),
            constant("bias", [[0.2]]),
            constant("half", [[0.1]]),
            constant("most", [[0.5]]),
            constant("one", [[1]]),
            constant("thousandth", [[0.001]]),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    metadata = Metadata(
        bundle_version=VERSION,
        name=name,
        version="1",
        model="arithmetic",
        config={"weights": weights},
        rate=rate,
        modalities=(
            *(ModalitySpec(n, "observed", dim, "normal", schema, age) for n, dim, schema, age in modalities),
            ModalitySpec("engagement", "target", 1, "beta"),
        ),
        states=(StateSpec("ticks", (1,), 0.0),),
        latents=(LatentSpec("z", 1),),
        lag=0,
        training_data=TrainingData("none", "Nothing was learned.", "Shows its inputs, no more.", 0, 0),
        quality={"all present": {"ccc": 0.0}},
        licence="MIT",
        sha256=digest(model.SerializeToString()),
    )
    onnx.helper.set_model_props(model, {KEY: msgspec.json.encode(metadata).decode()})
    onnx.save(model, path)
    return path
