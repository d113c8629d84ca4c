"""A graph's inputs and outputs as its description declares them, and the checks of a loaded graph."""

from typing import Final

import numpy as np

from ..contracts.errors import UserError, one_line
from .metadata import ESTIMATES, Metadata
from .runtime import ort

Shapes = dict[str, tuple[int | str, ...]]  # by tensor name; a named axis is dynamic

_SCALE: Final = np.float32(10)  # of random inputs: features are of the order of 1 to 100


def declared_shapes(metadata: Metadata) -> tuple[Shapes, Shapes]:
    """Inputs and outputs of a graph with that description."""
    axes = ("batch", "ticks") if metadata.graph == "block" else ("batch",)
    columns, z = len(metadata.inputs), sum(latent.dim for latent in metadata.latents)
    inputs: Shapes = {m.name: (*axes, m.dim) for m in metadata.inputs} | {"mask": (*axes, columns)}
    inputs |= {f"state_{s.name}": ("batch", *s.shape) for s in metadata.states}
    outputs: Shapes = dict.fromkeys(ESTIMATES, (*axes, 1)) | dict.fromkeys(("z_mean", "z_std"), (*axes, z))
    outputs["surprise"] = (*axes, columns)
    outputs |= {f"next_state_{s.name}": ("batch", *s.shape) for s in metadata.states}
    if metadata.graph == "full":
        inputs["noise"] = ("batch", z)
        outputs |= {f"reconstruction_{m.name}": ("batch", m.dim) for m in metadata.inputs
                    if m.role == "observed"}  # fmt: skip
    return inputs, outputs


def check_interface(metadata: Metadata, session: ort.InferenceSession, name: str) -> None:
    """Every declared input and output exists with its shape, and no other input does.

    Raises:
        UserError: a tensor is missing, undeclared, or of another type or shape.
    """
    inputs, outputs = declared_shapes(metadata)
    if unknown := {i.name for i in session.get_inputs()} - inputs.keys():
        raise UserError(f"{name}: its graph has undeclared inputs: {one_line(sorted(unknown))}")
    for kind, declared, found in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        tensors = {f.name: f for f in found}
        for key, shape in declared.items():
            if key not in tensors:
                raise UserError(f"{name}: its graph has no {kind} {key!r}; export the bundle again")
            tensor = tensors[key]
            fixed = [axis if isinstance(axis, int) else None for axis in tensor.shape]
            if tensor.type != "tensor(float)" or fixed != [a if isinstance(a, int) else None for a in shape]:
                actual, expected = one_line(f"{tensor.type} {tensor.shape}"), ", ".join(map(str, shape))
                raise UserError(f"{name}: {kind} {key!r} is {actual}, expected float [{expected}]")


def check_ticks(metadata: Metadata, session: ort.InferenceSession, name: str) -> None:
    """Random inputs give finite outputs of the declared shapes, over a few ticks.

    With two streams, everything is present for one and missing for the other; with one, all is present.

    Raises:
        UserError: the graph fails, or an output has another shape or is not finite.
    """
    inputs, outputs = declared_shapes(metadata)
    rng = np.random.default_rng(0)
    for batch in (1, 2):
        dynamic = {"batch": batch, "ticks": 2}
        sizes = {
            key: [dynamic[axis] if isinstance(axis, str) else axis for axis in shape]
            for key, shape in (inputs | outputs).items()
        }
        state = {
            f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in metadata.states
        }
        mask = np.ones(sizes["mask"], np.float32)
        mask[1:] = 0
        for _ in range(3):
            feed = {key: _SCALE * rng.standard_normal(sizes[key], np.float32) for key in inputs}
            feed |= state | {"mask": mask}
            try:
                found = dict(zip(outputs, session.run([*outputs], feed), strict=True))
            except Exception as error:  # ONNX Runtime's exceptions derive directly from Exception
                raise UserError(
                    f"{name}: its graph cannot run ({one_line(error)}); export the bundle again"
                ) from None
            for key, value in found.items():
                if list(value.shape) != sizes[key]:
                    raise UserError(f"{name}: {key!r} has shape {list(value.shape)}, expected {sizes[key]}")
                if not np.isfinite(value).all():
                    raise UserError(f"{name}: {key!r} is NaN or infinite; train or export the bundle again")
            state = {f"state_{s.name}": found[f"next_state_{s.name}"] for s in metadata.states}
