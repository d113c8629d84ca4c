"""A trained model becomes a bundle: its graph, its description, and the checks before it gets its name."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import onnx
import onnxscript
import torch
from torch import nn

from ..bundle.bundle import Bundle
from ..bundle.metadata import (
    ESTIMATES,
    KEY,
    VERSION,
    Graph,
    Metadata,
    ModalitySpec,
    Moments,
    TrainingData,
    digest,
)
from ..contracts.errors import UserError, on_one_line, one_line
from ..contracts.files import atomic_file
from ..contracts.schemas import schema_of
from ..models.batch import Batch, Data
from ..models.causal import Causal
from ..models.config import ARRAYS, SIMULATED, Config
from ..models.evaluation import Scores
from ..models.moments import ByPerson, moments_by_person
from ..models.networks import described
from ..models.run_folder import load_run, run_seed
from ..models.whitening import folded
from .graph import ModelGraph
from .layout import exportable, layout
from .parity import check_parity
from .quality import measure
from .quantise import quantised

OPSET = 20
NOT_FOR = (
    "not for judging people, least of all at work or in education, where inferring emotions is forbidden "
    "in the EU"
)
OF_SIMULATED = (
    "Simulated conversations: turns, voice and face go with engagement about as in ratings of people, gaze, "
    "nods and posture as in the literature; in units matched to what the extractors give on real clips"
)
LIMITS_SIMULATED = (
    f"Simulated people only: validated on no human. For trying the pipeline and for prototypes; {NOT_FOR}"
)
OF_RECORDED = "Recorded sessions, chosen by whoever trained it"
OF_ARRAYS = "Arrays given in Python, chosen by whoever trained it"
LIMITS_RECORDED = "Valid for people and settings like {}, if at all; " + NOT_FOR


def export_run(
    run: str | Path,
    path: str | Path,
    graph: Graph = "step",
    int8: bool = False,
    held_out: Data | Batch | None = None,
    encoders: Mapping[str, nn.Module] | None = None,
    decoders: Mapping[str, nn.Module] | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> float | None:
    """Write the bundle of a finished training run, its quality measured on held-out people.

    The file appears under `path` only if the graph in ONNX Runtime agrees with the model in PyTorch; with
    8-bit weights, which make another model, only if its outputs are finite.

    Args:
        graph: one tick per call (`step`), the same with reconstructions (`full`), or many ticks (`block`).
        int8: weights in 8 bits, see `quantise`.
        held_out: data of the form that `fit` takes, to score instead of the held-out people that the run's
            configuration names. Of a run of `fit`, which names none, the bundle has no scores without.
        encoders, decoders: networks of classes of your own, by modality, as `load` takes them.
        progress: called with what is done, and the share of it that is.

    Returns:
        The largest difference between the two; None for 8-bit weights.

    Raises:
        UserError: no finished run, a model that cannot be exported, an unwritable path, or a graph that
            differs from the model.
    """
    run, path = Path(run), Path(path)
    config, model = load_run(run, encoders, decoders)
    model, seed = exportable(model, str(run)), run_seed(run)
    scored = None if held_out is None else model.batch(held_out)
    with atomic_file(path) as file:  # opened first: an unwritable path fails before minutes of work
        progress("writing the graph", 0)
        onnx_model = graph_of(model, graph)
        if int8:
            onnx_model = quantised(onnx_model)
        moments = moments_by_person(config, seed)
        metadata = describe(config, model, graph, seed, digest(onnx_model), moments)
        file.write(with_metadata(onnx_model, metadata))
        file.flush()
        bundle = Bundle.load(Path(file.name))
        checking = partial(progress, "comparing it with the model")
        worst = None if int8 else check_parity(model, bundle, progress=checking)
        progress("scoring it on held-out people", 0)
        quality = rounded(measure(bundle, config, seed, held_out=scored))
        metadata = msgspec.structs.replace(metadata, quality=quality)
        file.seek(0)
        file.truncate()
        file.write(with_metadata(onnx_model, metadata))
    return worst


def rounded(scores: Scores) -> Scores:
    """Scores as the metadata stores them, without those that are not finite (of a constant target)."""
    return {
        pattern: {k: round(v, 4) for k, v in figures.items() if math.isfinite(v)}
        for pattern, figures in scores.items()
    }


def graph_of(model: Causal, kind: Graph) -> bytes:
    """The serialised ONNX graph of a model, without metadata."""
    model = folded(model)
    content = layout(model)
    # An example size of 1 would fix that axis at 1.
    batch, ticks = (2,), (3,) if kind == "block" else ()
    sequences = {m.name: torch.zeros(*batch, *ticks, m.dim) for m in content.inputs}
    sequences["mask"] = torch.ones(*batch, *ticks, len(content.inputs))
    others = {f"state_{s.name}": torch.full((*batch, *s.shape), s.initial) for s in content.states}
    if kind == "full":
        others["noise"] = torch.zeros(*batch, content.z)
    free = {0: torch.export.Dim("batch")}
    dynamic = [free | ({1: torch.export.Dim("ticks")} if ticks else {})] * len(sequences)
    dynamic += [free] * len(others)
    reconstructions = [f"reconstruction_{m.name}" for m in content.decoded] if kind == "full" else []
    for name in ("torch.onnx", "onnxscript"):
        # They log that torchvision, which nothing here uses, is not installed, and every folded constant.
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = _exported(
            ModelGraph(model, kind).eval(),
            (*sequences.values(), *others.values()),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[*sequences, *others],
            output_names=[
                *ESTIMATES,
                *("z_mean", "z_std", "surprise"),
                *(f"next_state_{s.name}" for s in content.states),
                *reconstructions,
            ],
            dynamic_shapes={"arguments": tuple(dynamic)},
            custom_translation_table={torch.ops.aten.softplus.default: softplus},
        )
    assert program is not None
    return stripped(program.model_proto).SerializeToString(deterministic=True)


def _exported(*arguments: Any, **options: Any) -> Any:
    try:
        return torch.onnx.export(*arguments, **options)
    except torch.onnx.OnnxExporterError as error:
        cause = next((line for line in str(error.__cause__ or error).splitlines() if line.strip()), "")
        raise UserError(
            f"PyTorch cannot make a graph of this model ({one_line(cause)}); in a network of your own, use "
            "operations on tensors, and nothing that depends on their values"
        ) from None


def softplus(x: onnxscript.FLOAT, beta: float = 1.0, threshold: float = 20.0) -> onnxscript.FLOAT:
    """ONNX's own operator: the exporter's translation adds a comparison and a choice around it."""
    return onnxscript.opset20.Softplus(x)


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter records of this machine: paths, stack traces, version names."""
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in [model.graph, *model.functions]:
        strip(graph)
    return model


def strip(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """The same for a graph and the graphs inside its nodes, such as a Scan's body."""
    del graph.metadata_props[:]
    graph.doc_string = ""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                strip(attribute.g)
    if isinstance(graph, onnx.GraphProto):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            del value.metadata_props[:]
            value.doc_string = ""


def with_metadata(graph: bytes, metadata: Metadata) -> bytes:
    """A serialised model with its metadata appended; the bytes before stay as they are."""
    described = onnx.ModelProto()
    described.metadata_props.add(key=KEY, value=msgspec.json.encode(metadata).decode())
    # Serialised Protocol Buffers messages merge by concatenation.
    return graph + described.SerializeToString(deterministic=True)


def described_text(text: str) -> str:
    """A user's text as a bundle's description has it, which is never empty."""
    return on_one_line(text) or "?"


def described_moments(found: ByPerson | None) -> Moments | None:
    """Moments as the metadata stores them."""
    if found is None:
        return None
    mean, between, within = (tuple(float(f"{x:.5g}") for x in part) for part in found)
    return Moments(mean, between, within)


def describe(
    config: Config,
    model: Causal,
    graph: Graph,
    seed: int,
    sha256: str,
    moments: Mapping[str, ByPerson] = MappingProxyType({}),
) -> Metadata:
    """The metadata of a bundle, its quality not yet measured."""
    training = config.training
    ticks = round(training.session_seconds * config.rate) * training.streams * training.rounds
    of_data = {SIMULATED: OF_SIMULATED, ARRAYS: OF_ARRAYS}.get(training.data, OF_RECORDED)
    if config.trained_on is not None and training.data != SIMULATED:
        of_data = described_text(f"{of_data}: {config.trained_on}")
    limits = LIMITS_RECORDED.format(described_text(config.trained_on or "the recorded ones"))
    content = layout(model)
    factor = model.widening(content.target)
    sizes: dict[str, Any] = msgspec.to_builtins(config.model, enc_hook=described)
    kind = sizes.pop("model")
    del sizes.get("smoother", sizes.get("member", sizes))["modalities"]  # which have a field of their own
    return Metadata(
        bundle_version=VERSION,
        name=described_text(config.name),
        version="1",
        model=kind,
        graph=graph,
        config=sizes,
        rate=config.rate,
        modalities=tuple(
            ModalitySpec(
                m.name,
                m.role,
                m.dim,
                m.likelihood,
                m.schema,
                schema_of(m.schema, m.dim).max_age,
                described_moments(moments.get(m.name)),
            )
            for m in (*content.inputs, content.target)
        ),
        states=content.states,
        latents=content.latents,
        lag=0,
        training_data=TrainingData(
            name=Path(training.data).name,  # a folder's name, never its path
            description=of_data,
            limits=LIMITS_SIMULATED if training.data == SIMULATED else limits,
            seed=seed,
            ticks=0 if training.data == ARRAYS else ticks,  # 0: not known
        ),
        widening=round(float(factor), 4) if training.calibrate else None,
        quality={},
        licence=described_text(config.licence),
        sha256=sha256,
    )
