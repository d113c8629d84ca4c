"""Run whole sequences through a bundle, whatever its graph."""

import time
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle

SEGMENT: Final = 100  # ticks that a block graph takes at once, in bounded memory

Arrays = dict[str, NDArray[np.float32]]


def initial_states(bundle: Bundle, batch: int) -> Arrays:
    """Initial values of the inputs `state_…`, `[batch, …]`."""
    states = bundle.metadata.states
    return {f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in states}


def run_sequence(bundle: Bundle, feed: Arrays, states: Arrays) -> tuple[Arrays, Arrays]:
    """Run a block graph over segments of the sequence, any other graph tick by tick.

    Args:
        feed: inputs, mask and noise, `[batch, T, ·]`; entries that the graph does not take are ignored.
        states: before the first tick.

    Returns:
        The other outputs, `[batch, T, ·]`, and the states after the last tick.
    """
    names = [o.name for o in bundle.session.get_outputs()]
    taken = {i.name for i in bundle.session.get_inputs()}
    feed = {k: v for k, v in feed.items() if k in taken}

    def run(values: Arrays, states: Arrays) -> tuple[Arrays, Arrays]:
        # Copies: a graph's outputs lie in ONNX Runtime's own memory, which is bounded.
        found = [value.copy() for value in bundle.session.run(names, values | states)]
        outputs = dict(zip(names, found, strict=True))
        return outputs, {k: outputs.pop(f"next_{k}") for k in states}

    block, parts = bundle.metadata.graph == "block", []
    for t in range(0, feed["mask"].shape[1], SEGMENT if block else 1):
        piece = {k: v[:, t : t + SEGMENT] if block else v[:, t] for k, v in feed.items()}
        outputs, states = run(piece, states)
        parts.append(outputs)
    join = np.concatenate if block else np.stack
    return {k: join([part[k] for part in parts], axis=1) for k in parts[0]}, states


def seconds_per_tick(bundle: Bundle, ticks: int = 50, rounds: int = 7) -> float:
    """Step time of one stream on this machine with all modalities present; the median of `rounds`."""
    inputs = bundle.metadata.inputs
    feed = {m.name: np.zeros((1, ticks, m.dim), np.float32) for m in inputs}
    feed["mask"] = np.ones((1, ticks, len(inputs)), np.float32)
    for i in bundle.session.get_inputs():
        if i.name == "noise":
            feed["noise"] = np.zeros((1, ticks, i.shape[-1]), np.float32)
    durations = []
    for _ in range(rounds):
        start = time.perf_counter()
        run_sequence(bundle, feed, initial_states(bundle, 1))
        durations.append((time.perf_counter() - start) / ticks)
    return median(durations)
