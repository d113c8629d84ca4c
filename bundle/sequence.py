"""Whole sequences through a bundle of any graph, in ONNX Runtime."""

import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle

Arrays = dict[str, NDArray[np.float32]]


def initial_states(bundle: Bundle, batch: int) -> Arrays:
    """What the graph's inputs `state_…` start from, `[batch, …]`."""
    states = bundle.metadata.states
    return {f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in states}


def run_sequence(bundle: Bundle, fed: Arrays, states: Arrays) -> tuple[Arrays, Arrays]:
    """A block graph takes the sequence whole, the others tick by tick.

    Args:
        fed: inputs, mask and noise, `[batch, T, ·]`; what the graph does not take is left aside.
        states: before the first tick.

    Returns:
        The other outputs, `[batch, T, ·]`, and the states after the last tick.
    """
    names = [o.name for o in bundle.session.get_outputs()]
    wanted = {i.name for i in bundle.session.get_inputs()}
    fed = {k: v for k, v in fed.items() if k in wanted}

    def run(values: Arrays, states: Arrays) -> tuple[Arrays, Arrays]:
        outputs = dict(zip(names, bundle.session.run(names, values | states), strict=True))
        return outputs, {k: outputs.pop(f"next_{k}") for k in states}

    if bundle.metadata.graph == "block":
        return run(fed, states)
    columns = []
    for t in range(fed["mask"].shape[1]):
        outputs, states = run({k: v[:, t] for k, v in fed.items()}, states)
        columns.append(outputs)
    return {k: np.stack([c[k] for c in columns], 1) for k in columns[0]}, states


def seconds_a_tick(bundle: Bundle, ticks: int = 50, rounds: int = 7) -> float:
    """How long a tick of one stream takes on this machine, everything present; median of some rounds."""
    inputs = bundle.metadata.inputs
    fed = {m.name: np.zeros((1, ticks, m.dim), np.float32) for m in inputs}
    fed["mask"] = np.ones((1, ticks, len(inputs)), np.float32)
    for i in bundle.session.get_inputs():
        if i.name == "noise":
            fed["noise"] = np.zeros((1, ticks, i.shape[-1]), np.float32)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run_sequence(bundle, fed, initial_states(bundle, 1))
        taken.append((time.perf_counter() - start) / ticks)
    return median(taken)
