"""One step of a bundle per tick, the recurrent state carried along."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..export.bundle import ESTIMATES, Bundle


class Step(NamedTuple):
    """What a tick gives.

    Attributes:
        mean, std: of engagement's predictive distribution, on [0, 1].
        low, high: its central 90 % interval.
        surprise: nats by input; negative log-likelihood of what was seen under the prediction made
            before seeing it; None where missing.
    """

    mean: float
    std: float
    low: float
    high: float
    surprise: dict[str, float | None]


class Engine:
    """Steps a bundle for one stream. All buffers are allocated here, once.

    Attributes:
        rate: ticks per second.
        inputs: the modalities that `step` takes.
    """

    def __init__(self, bundle: Bundle) -> None:
        metadata = bundle.metadata
        self.rate = metadata.rate
        self.inputs = tuple(m.name for m in metadata.inputs)
        self._values = {m.name: np.zeros((1, m.dim), np.float32) for m in metadata.inputs}
        self._mask = np.zeros((1, len(self.inputs)), np.float32)
        self._estimates = [np.zeros((1, 1), np.float32) for _ in ESTIMATES]
        self._surprise = np.zeros_like(self._mask)
        self._initial = {s.name: s.initial for s in metadata.states}
        # Two sets of states: a step reads one and writes the other, and the next step the other way round.
        self._states = [
            {s.name: np.full((1, *s.shape), s.initial, np.float32) for s in metadata.states} for _ in range(2)
        ]
        self._session = bundle.session
        self._bindings = [self._bind(*self._states), self._bind(*self._states[::-1])]
        self._parity = 0

    def _bind(
        self, now: dict[str, NDArray[np.float32]], after: dict[str, NDArray[np.float32]]
    ) -> ort.IOBinding:
        binding = self._session.io_binding()
        inputs = self._values | {"mask": self._mask} | {f"state_{k}": v for k, v in now.items()}
        outputs = dict(zip(ESTIMATES, self._estimates, strict=True)) | {"surprise": self._surprise}
        outputs |= {f"next_state_{k}": v for k, v in after.items()}
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding

    def step(self, values: Mapping[str, NDArray[np.float32] | None]) -> Step:
        """Advance by one tick.

        Args:
            values: raw features `[dim]` by modality; None, or no entry, where missing.

        Raises:
            ValueError: a modality that the bundle does not know, or a vector of another size.
        """
        if unknown := values.keys() - self._values.keys():
            raise ValueError(f"unknown modalities {sorted(unknown)}; this bundle takes {list(self.inputs)}")
        for column, name in enumerate(self.inputs):
            value = values.get(name)
            self._mask[0, column] = value is not None
            if value is not None:
                if value.shape != (buffer := self._values[name][0]).shape:
                    raise ValueError(f"{name} has shape {value.shape}, expected {buffer.shape}")
                buffer[:] = value
        self.advance()
        mean, std, low, high = (float(e[0, 0]) for e in self._estimates)
        surprise = {
            name: float(nats) if present else None
            for name, present, nats in zip(self.inputs, self._mask[0], self._surprise[0], strict=True)
        }
        return Step(mean, std, low, high, surprise)

    def advance(self) -> None:
        """Run the graph on what is in the buffers."""
        self._session.run_with_iobinding(self._bindings[self._parity])
        self._parity ^= 1

    def reset(self) -> None:
        """Forget everything seen."""
        for name, initial in self._initial.items():
            self._states[self._parity][name].fill(initial)
