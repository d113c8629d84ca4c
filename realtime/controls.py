"""Controls of a run while it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final

from ..contracts.errors import UserError, one_line
from .engine.calibration import USUAL
from .engine.engine import Values
from .sources.source import Source
from .streams.samples import SECOND, Control, Observation

RESET: Final = Control.RESET


class Controls(ABC):
    """The controls of a `Run`: callable from any thread; they take effect between two ticks.

    Attributes:
        observation: the model's input for the latest estimate; None before the first.
        paused: whether the model gets no input; ticks continue.
        over: whether the last tick has been emitted.
        marks: time, ns, and label, so far.
    """

    source: Source
    rate: int

    def __init__(self) -> None:
        self.observation: Observation | None = None
        self.paused = False
        self.over = False
        self.marks: list[tuple[int, str]] = []
        self._labelled = 0  # of them, with estimates
        self._noted = 0  # marks of the source
        self._collected: list[Values] | None = None  # of a calibration that is under way
        self._person: int | None = None  # that the model's state is of
        self._forgotten: int | None = None  # ns; time of the last reset
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()

    @abstractmethod
    def note(self, time: int, label: str) -> None:
        """Write a mark (ns) to the recording and the outputs; in the run's thread."""
        self.marks.append((time, label))

    def labels_until(self, time: int) -> list[str]:
        """Labels of the marks up to `time` (ns) that this has not given before."""
        labels = []
        while self._labelled < len(self.marks) and self.marks[self._labelled][0] <= time:
            labels.append(one_line(self.marks[self._labelled][1]))
            self._labelled += 1
        return labels

    @abstractmethod
    def forget(self) -> None:
        """Reset the model; in the run's thread."""

    @abstractmethod
    def adapt(self, ticks: Sequence[Values] | None) -> None:
        """Use the profile that follows from these values of a neutral person, or again the one that was
        given, if any; in the run's thread."""

    def stop(self) -> None:
        """End the run after the current tick; also from a signal handler."""
        self.source.stop()

    def mark(self, label: str) -> None:
        """Write a mark at the current time to the recording and to outputs that take marks; text only."""
        time, label = self._now(), str(label)  # not a `Control`
        self._asked.put(lambda: self.note(time, label))

    def pause(self) -> None:
        """Extract, record and give the model nothing until `resume`; ticks continue."""
        self.paused = self.source.paused = True
        self.mark("paused")

    def resume(self) -> None:
        """Continue after `pause`."""
        self.paused = self.source.paused = False
        self.mark("resumed")

    def reset(self) -> None:
        """Return the model to its initial state, for another person for instance."""

        def forget() -> None:
            if not self.over:  # else no tick comes after it
                self._forget(0 if self.observation is None else self.observation.time)

        self._asked.put(forget)

    def follow(self, person: int) -> None:
        """Follow the person with this id (`Estimate.person`, from 1) from now on.

        Raises:
            UserError: the source does not choose between people.
        """
        self.source.follow(person)
        self.mark(f"follow person {person}")

    @property
    def person(self) -> int | None:
        """Id of the followed person at the latest tick; None before one is chosen, and without pictures."""
        view = None if self.observation is None else self.observation.view
        return None if view is None or self.source.apart else view.person

    def calibrate(self) -> None:
        """Adapt the estimates to this person, who is neutral from now on: after a minute in which something
        is present, a profile that follows from it is used, until another person is followed or the run ends.

        Raises:
            UserError: the run is of several people.
        """
        if self.source.people > 1:
            raise UserError("a calibration is of one person: follow one, without --people")

        def begin() -> None:
            if not self.over:
                self._calibrate(0 if self.observation is None else self.observation.time)

        self._asked.put(begin)

    @property
    def calibrating(self) -> float | None:
        """Seconds that a calibration has so far, of `USUAL`; None where none is under way."""
        return None if self._collected is None else len(self._collected) / self.rate

    def apply_marks(self, now: int) -> None:
        """Write the source's marks up to `now` (ns), and reset the model where it was reset."""
        while self._noted < len(self.source.marks) and self.source.marks[self._noted][0] <= now:
            at, label = self.source.marks[self._noted]
            self._noted += 1
            if label is RESET:  # a mark of the same text is not
                self._forget(at)
            elif label is Control.CALIBRATE:
                self._calibrate(at)
            else:
                self.note(at, label)

    def meet(self, observation: Observation) -> None:
        """Reset the model where another person is followed than before: its state is of that one."""
        person = None if observation.view is None else observation.view.person
        if person is None or person == self._person:
            return
        if self._person is not None:
            if self._forgotten != observation.time:  # not by a mark already
                self._forget(observation.time)
            self._collected = None
            self.adapt(None)
        self._person = person

    def _forget(self, time: int) -> None:
        self.forget()
        self.note(time, RESET)
        self._forgotten = time

    def apply_controls(self) -> None:
        """Execute the controls that were called since the last time; in the run's thread."""
        while not self._asked.empty():
            self._asked.get()()

    def _calibrate(self, time: int) -> None:
        self._collected = []
        self.note(time, Control.CALIBRATE)

    def continue_calibration(self, observation: Observation) -> None:
        """Add a tick to the calibration that is under way, if one is."""
        if self._collected is not None and any(v is not None for v in observation.values.values()):
            self._collected.append(observation.values)
            if len(self._collected) == round(USUAL * self.rate):
                self.adapt(self._collected)
                self._collected = None

    def _now(self) -> int:
        """ns on the source's axis."""
        if self.source.clock is not None:
            return self.source.clock()
        return round(self.source.start * SECOND) if self.observation is None else self.observation.time
