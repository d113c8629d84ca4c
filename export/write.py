"""A trained model becomes a bundle."""

import logging
import warnings
from pathlib import Path
from typing import Any

import msgspec
import onnx
import onnxscript
import torch

from ..contracts.errors import UserError
from ..models.config import Config
from ..models.evaluation import evaluate
from ..models.mm_vrnn import MMVRNN
from ..models.training import load_model, run_seed
from .bundle import ESTIMATES, KEY, VERSION, Bundle, Metadata, ModalitySpec, StateSpec, TrainingData, digest
from .parity import check_parity
from .step import StepGraph

OPSET = 20
NOT_FOR = (
    "not for judging people, least of all at work or in education, where inferring emotions is forbidden "
    "in the EU"
)
SIMULATED = "Simulated conversations, in units matched to what the extractors give on real clips"
LIMITS_SIMULATED = (
    f"Simulated people only: validated on no human. For trying the pipeline and for prototypes; {NOT_FOR}"
)
RECORDED = "Recorded sessions, chosen by whoever trained it"
LIMITS_RECORDED = f"Valid for people and settings like the recorded ones, if at all; {NOT_FOR}"


def export_run(run: Path, path: Path) -> float:
    """Write the bundle of a finished training run, its quality measured on held-out people.

    Nothing is left under `path` unless ONNX Runtime gives what PyTorch gives.

    Returns:
        the largest difference between the two.

    Raises:
        UserError: no finished run, an unwritable path, or a graph that differs from the model.
    """
    config, model = load_model(run)
    if not isinstance(model, MMVRNN) or model.target.likelihood != "logit_normal":
        raise UserError(f"{run}: an {config.model.__class__.__name__.removesuffix('Config')} there; for now "
                        "only an MM-VRNN whose target is logit_normal becomes a bundle")  # fmt: skip
    seed = run_seed(run)
    graph = step_graph(model)
    metadata = describe(config, model, seed, evaluate(model, config, seed), digest(graph))
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(with_metadata(graph, metadata))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another path") from None
    try:
        worst = check_parity(model, Bundle.load(partial))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return worst


def step_graph(model: MMVRNN) -> bytes:
    """The serialised ONNX graph of one step, without description."""
    if model.config.fusion != "experts":
        raise UserError(f"fusion {model.config.fusion!r} cannot be exported; train with fusion = 'experts'")
    graph = StepGraph(model).eval()
    batch = 2  # an example of batch 1 would freeze the batch at 1
    x = [torch.zeros(batch, m.dim) for m in model.inputs]
    arguments = (*x, torch.ones(batch, len(x)), torch.zeros(batch, model.config.hidden))
    dynamic = tuple({0: torch.export.Dim("batch")} for _ in arguments)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here uses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            graph,
            arguments,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[*(m.name for m in model.inputs), "mask", "state_h"],
            output_names=[*ESTIMATES, "z_mean", "z_std", "surprise", "next_state_h"],
            dynamic_shapes={"arguments": dynamic},
            custom_translation_table={torch.ops.aten.softplus.default: _softplus},
        )
    assert program is not None
    return stripped(program.model_proto).SerializeToString(deterministic=True)


def _softplus(x: onnxscript.FLOAT, beta: float = 1.0, threshold: float = 20.0) -> onnxscript.FLOAT:
    """ONNX has the operator; the exporter's own translation adds a comparison and a choice around it."""
    return onnxscript.opset20.Softplus(x)


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter notes of this machine: paths, stack traces, names of versions."""
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        del graph.metadata_props[:]
        graph.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    return model


def with_metadata(graph: bytes, metadata: Metadata) -> bytes:
    """A serialised model with its description added; the other bytes stay as they are."""
    described = onnx.ModelProto()
    described.metadata_props.add(key=KEY, value=msgspec.json.encode(metadata).decode())
    # Serialised messages of Protocol Buffers merge by being put one after the other.
    return graph + described.SerializeToString(deterministic=True)


def describe(
    config: Config, model: MMVRNN, seed: int, quality: dict[str, dict[str, float]], sha256: str
) -> Metadata:
    training = config.training
    ticks = round(training.session_seconds * config.rate) * training.streams * training.rounds
    sizes: dict[str, Any] = msgspec.to_builtins(config.model)
    kind = sizes.pop("model")
    del sizes["modalities"]  # told elsewhere
    return Metadata(
        bundle_version=VERSION,
        name=config.name,
        version="1",
        model=kind,
        config=sizes,
        rate=config.rate,
        modalities=tuple(
            ModalitySpec(m.name, m.role, m.dim, m.likelihood, m.schema) for m in (*model.inputs, model.target)
        ),
        states=(StateSpec("h", (model.config.hidden,), 0.0),),
        lag=0,
        training_data=TrainingData(
            name=Path(training.data).name,  # of a folder, never its path
            description=SIMULATED if training.data == "conversation" else RECORDED,
            limits=LIMITS_SIMULATED if training.data == "conversation" else LIMITS_RECORDED,
            seed=seed,
            ticks=ticks,
        ),
        quality={p: {k: round(v, 4) for k, v in figures.items()} for p, figures in quality.items()},
        licence="MIT",
        sha256=sha256,
    )
