"""A graph's inputs and outputs as its description declares them, and the checks of a loaded graph."""

import threading
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError, one_line
from .metadata import ESTIMATES, Metadata
from .runtime import ort

Shapes = dict[str, tuple[int | str, ...]]  # by tensor name; a named axis is dynamic

LARGEST: Final = 1e9  # of inputs; beyond it they are clipped at run time, and up to it a bundle bears them
SLACK: Final = 4e-5  # of float32; less than half of the last digit that is written

_SCALES: Final = (10, 1, 0.01, 0, 1000, LARGEST)  # of random inputs, one after the other
_TRIALS: Final = ((1, 200), (2, 20))  # streams, ticks
_LONGEST: Final = 30  # s, for all of them, also on a machine that is busy; they need 0.05


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
    """Random inputs give outputs of the declared shapes that can be estimates, over many ticks.

    Inputs are of all sizes from 0 to `LARGEST`. Of two streams the second has everything missing; a stream
    alone has everything present at first, then any of its modalities.

    Raises:
        UserError: the graph fails, or takes too long; an output has another shape, is not finite, or is not
            what its name says.
    """
    options = ort.RunOptions()
    timer = threading.Timer(_LONGEST, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        wrong = next(filter(None, (_trial(metadata, session, options, *trial) for trial in _TRIALS)), "")
    except Exception as error:  # ONNX Runtime's exceptions derive directly from Exception
        if not options.terminate:
            reason = one_line(error)
            raise UserError(f"{name}: its graph cannot run ({reason}); export the bundle again") from None
    finally:
        timer.cancel()
    if options.terminate:
        raise UserError(
            f"{name}: {sum(n for _, n in _TRIALS)} ticks take more than {_LONGEST} s; export a smaller model"
        )
    if wrong:
        raise UserError(f"{name}: {wrong}; train or export the bundle again")


def _trial(
    metadata: Metadata, session: ort.InferenceSession, options: ort.RunOptions, batch: int, ticks: int
) -> str:
    """What is wrong with the outputs of some ticks; empty if nothing is."""
    inputs, outputs = declared_shapes(metadata)
    axes = {"batch": batch, "ticks": 2}
    sizes = {
        key: [axes[axis] if isinstance(axis, str) else axis for axis in shape]
        for key, shape in (inputs | outputs).items()
    }
    state = {f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in metadata.states}
    rng = np.random.default_rng(0)
    for tick in range(ticks):
        if options.terminate:
            break
        scale = np.float32(_SCALES[tick % len(_SCALES)])
        draws = {key: scale * rng.standard_normal(sizes[key], np.float32) for key in inputs}
        feed = {key: value.clip(-LARGEST, LARGEST) for key, value in draws.items()} | state
        feed["mask"] = np.ones(sizes["mask"], np.float32)
        if tick >= len(_SCALES):
            feed["mask"][0] = rng.integers(2, size=sizes["mask"][1:])
        feed["mask"][1:] = 0
        found = dict(zip(outputs, session.run([*outputs], feed, options), strict=True))
        if wrong := _wrong(found, sizes):
            return wrong
        state = {f"state_{s.name}": found[f"next_state_{s.name}"] for s in metadata.states}
    return ""


def _wrong(found: Mapping[str, NDArray[np.float32]], sizes: Mapping[str, list[int]]) -> str:
    for key, value in found.items():
        if list(value.shape) != sizes[key]:
            return f"{key!r} has shape {list(value.shape)}, expected {sizes[key]}"
        if not np.isfinite(value).all():
            return f"{key!r} is NaN or infinite"
    if (smallest := found["z_std"].min(initial=1)) <= 0:
        return f"'z_std' is {smallest:g}, not above 0"
    rows = zip(*(found[key].ravel().tolist() for key in ESTIMATES), strict=True)
    return next(filter(None, (wrong_estimate(*row) for row in rows)), "")


def wrong_estimate(mean: float, std: float, low: float, high: float) -> str:
    """What of these cannot be of a distribution on [0, 1]; empty if they can. The mean of a skewed one may
    be outside of its central 90 %."""
    largest = (1.0, 0.5, 1.0, 1.0)
    for name, value, most in zip(ESTIMATES, (mean, std, low, high), largest, strict=True):
        if not -SLACK <= value <= most + SLACK:  # nor if it is NaN
            return f"{name!r} is {value:g}, not within 0 and {most:g}"
    if low > high + SLACK:
        return f"'engagement_low' is {low:g}, above 'engagement_high', {high:g}"
    return ""
