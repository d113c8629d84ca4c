"""Steps a bundle, a tick a call, and carries its recurrent state."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...bundle.bundle import Bundle
from ...bundle.interface import LARGEST, wrong_estimate
from ...bundle.metadata import ESTIMATES
from ...bundle.runtime import ort
from ...contracts.errors import UserError, one_line
from .profile import Personal, Profile
from .state import State

Values = Mapping[str, NDArray[np.float32] | None]  # raw features `[dim]` by modality; None where missing
_Arrays = dict[str, NDArray[np.float32]]


class Step(NamedTuple):
    """What the model predicts at a tick.

    Attributes:
        mean, std: of engagement's predictive distribution, on [0, 1].
        low, high: its central 90 % interval.
        surprise: nats by input; negative log-likelihood of its value under the prediction made before seeing
            it; None where missing.
    """

    mean: float
    std: float
    low: float
    high: float
    surprise: dict[str, float | None]


class Engine:
    """Steps a bundle for one stream, or for several at once. All buffers are allocated at construction.

    Args:
        bundle: with a `step` graph: one tick a call.
        streams: people or sessions, independent of each other.
        profile: of the person, where there is one; see `profile`.

    Attributes:
        rate: ticks per second.
        inputs: names of the modalities that `step` takes.

    Raises:
        UserError: the bundle has another kind of graph; the profile is of another bundle.
    """

    def __init__(self, bundle: Bundle, streams: int = 1, profile: Profile | None = None) -> None:
        metadata = bundle.metadata
        if (graph := metadata.graph) != "step":
            raise UserError(f"{bundle.path}: its graph is a {graph!r} one; give a bundle with a 'step'")
        if streams < 1:
            raise ValueError(f"an engine needs at least one stream, not {streams}")
        self._name, self._metadata = str(bundle.path), metadata
        self.profile = profile
        self.rate = metadata.rate
        self.inputs = tuple(m.name for m in metadata.inputs)
        self._sha256 = metadata.sha256
        self._values = {m.name: np.zeros((streams, m.dim), np.float32) for m in metadata.inputs}
        self._mask = np.zeros((streams, len(self.inputs)), np.float32)
        self._estimates = [np.zeros((streams, 1), np.float32) for _ in ESTIMATES]
        self._surprise = np.zeros_like(self._mask)
        self._initial = {s.name: s.initial for s in metadata.states}
        # Two sets of states: a step reads one and writes the other; the next step does the reverse.
        self._states = [
            {s.name: np.full((streams, *s.shape), s.initial, np.float32) for s in metadata.states}
            for _ in range(2)
        ]
        self._session = bundle.session
        self._bindings = [self._bind(*self._states), self._bind(*self._states[::-1])]
        self._parity = 0

    def _bind(self, now: _Arrays, after: _Arrays) -> ort.IOBinding:
        binding = self._session.io_binding()
        inputs = self._values | {"mask": self._mask} | {f"state_{k}": v for k, v in now.items()}
        outputs = dict(zip(ESTIMATES, self._estimates, strict=True)) | {"surprise": self._surprise}
        outputs |= {f"next_state_{k}": v for k, v in after.items()}
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        return binding

    @property
    def profile(self) -> Profile | None:
        """The profile through which values and estimates go, from the next step on.

        Raises:
            UserError: on setting, it is of another bundle.
        """
        return None if self._personal is None else self._personal.profile

    @profile.setter
    def profile(self, profile: Profile | None) -> None:
        self._personal = None if profile is None else Personal(profile, self._metadata)

    def step(self, values: Values) -> Step:
        """Advance the only stream by one tick. Values beyond ±`LARGEST` are clipped.

        Raises:
            ValueError: there are several streams, a modality that the bundle does not know, or a vector of
                another size; nothing has changed then.
            UserError: the bundle's graph fails, or gives what cannot be an estimate.
        """
        if len(self._mask) > 1:
            raise ValueError(f"this engine has {len(self._mask)} streams; use step_streams")
        (step,) = self.step_streams([values])
        assert step is not None
        return step

    def step_streams(self, streams: Sequence[Values | None]) -> list[Step | None]:
        """Advance several streams by one tick.

        Args:
            streams: the values of each of the engine's streams, or None: it is masked out, and its state is
                as if the call had never happened.

        Returns:
            a step for each stream, None where it is masked out.

        Raises:
            ValueError: as in `step`, or not one entry a stream; nothing has changed then.
            UserError: as in `step`.
        """
        if len(streams) != len(self._mask):
            raise ValueError(f"{len(streams)} entries for {len(self._mask)} streams")
        out = [row for row, values in enumerate(streams) if values is None]
        for row, values in enumerate(streams):
            self._put(row, values or {})
        try:
            self._session.run_with_iobinding(self._bindings[self._parity])
        except Exception as error:  # ONNX Runtime's exceptions derive directly from Exception
            raise UserError(f"{self._name}: its graph has failed ({one_line(error)})") from None
        self._parity ^= 1
        if out:
            now, before = self._states[self._parity], self._states[self._parity ^ 1]
            for name, state in now.items():
                state[out] = before[name][out]
        return [None if values is None else self._step(row) for row, values in enumerate(streams)]

    def _put(self, row: int, values: Values) -> None:
        """Write a stream's values to the buffers."""
        if unknown := values.keys() - self._values.keys():
            raise ValueError(f"unknown modalities {sorted(unknown)}; this bundle takes {list(self.inputs)}")
        for column, name in enumerate(self.inputs):
            value = values.get(name)
            self._mask[row, column] = value is not None
            if value is not None:
                if value.shape != (buffer := self._values[name][row]).shape:
                    raise ValueError(f"{name} has shape {value.shape}, expected {buffer.shape}")
                value = value if self._personal is None else self._personal.value(name, value)
                np.clip(value, -LARGEST, LARGEST, out=buffer)

    def _step(self, row: int) -> Step:
        """Read a stream's step from the buffers."""
        mean, std, low, high = (e.item(row) for e in self._estimates)
        columns = zip(self.inputs, self._mask[row].tolist(), self._surprise[row].tolist(), strict=True)
        surprise = {name: nats if present else None for name, present, nats in columns}
        wrong = wrong_estimate(mean, std, low, high)
        if not wrong and not all(nats is None or math.isfinite(nats) for nats in surprise.values()):
            wrong = "'surprise' is NaN or infinite"
        if wrong:
            raise UserError(f"{self._name}: {wrong}; train or export the bundle again")
        if self._personal is not None:
            mean, std, low, high = self._personal.estimate(low, high)
        return Step(mean, std, low, high, surprise)

    def reset(self, stream: int | None = None) -> None:
        """Return a stream, or all streams, to the initial state."""
        rows = slice(None) if stream is None else stream
        for name, initial in self._initial.items():
            self._states[self._parity][name][rows] = initial

    @property
    def state(self) -> State:
        """A copy of the recurrent state of all streams. An engine that is given it continues from there."""
        return State(self._sha256, {k: v.copy() for k, v in self._states[self._parity].items()})

    @state.setter
    def state(self, state: State) -> None:
        if state.sha256 != self._sha256:
            hashes = f"{state.sha256[:12]!r}…, not {self._sha256[:12]!r}"
            remedy = "give it to the one that it was made with"
            raise UserError(f"this state is of the bundle of sha256 {hashes}; {remedy}")
        current = self._states[self._parity]
        if differing := state.values.keys() ^ current.keys():
            raise UserError(f"only one of state and bundle has {sorted(differing)}; start a new session")
        for name, value in state.values.items():
            if value.shape != current[name].shape:
                shapes = f"{list(value.shape)}, but the engine's {list(current[name].shape)}"
                remedy = "make an engine of as many streams"
                raise UserError(f"state {name!r} is {shapes} (axis 0: streams); {remedy}")
        for name, value in state.values.items():
            current[name][:] = value
