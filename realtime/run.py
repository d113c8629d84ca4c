"""One run: a source's observations through a bundle's model, an estimate a tick, to outputs and a recorder.

    with Run("interview.mp4", to=["jsonl:estimates.jsonl"]) as run:
        for estimate in run:
            print(estimate.t, estimate.engagement.mean)

The same for every source: live devices, recordings, recorded sessions, XDF files, pushed features.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..bundle.bundle import Bundle
from ..contracts.console import say
from ..contracts.errors import UserError, one_line
from ..contracts.schemas import AUDIO, FACE
from . import describe
from .context import context_values
from .controls import Controls
from .engine.calibration import calibrate
from .engine.engine import Engine, Values
from .engine.estimate import Estimate, estimate_of, latency_of
from .engine.profile import Profile
from .outputs import Outputs
from .people import People, Voice
from .sources.files import open_source
from .sources.source import Source, SourceFailure, match
from .statistics import Statistics
from .store import profiles
from .streams import wall_clock
from .streams.absence import Absence
from .streams.counts import Counts
from .streams.samples import SECOND, Observation

NEW = "calibrated"  # name of a profile that is made during the run; of no file

if TYPE_CHECKING:
    from .page.observed import Landmarks
    from .page.server import PageServer
    from .page.view import View
    from .recorder import Recorder


class Run(Controls):
    """Estimates of a source. A context manager; iterate within it, once, or `start` it.

    Args:
        source: a `Source`, or the path of a recording, a recorded session's folder or an XDF file.
        bundle: a file, or a shipped bundle's name.
        to: addresses of outputs; see `outputs.addresses`.
        record: a new folder, for features, observations and estimates; see `store.folder`.
        keep_media: keep pictures and sound of live devices, too, in that folder.
        started: when the recording began, where the source does not know it.
        about: JSON values that are added to its description there.
        clock: `lsl:NAME`, a stream whose machine's clock is followed, so that sessions that are recorded on
            several machines can be joined; see `sources.lsl_clock`. Live, with `record`.
        context: raw values of the bundle's context modalities, constant over the run.
        offsets: seconds to add to the times of a modality, by its name: its clock is off, or it is late.
        voice: with several people (`FaceOptions.people`), whose the sound is: `followed`, `speaker`,
            `none` or `all`; see `people`.
        profile: of the person, made by `enrapt calibrate`: its name, or the profile itself.
        timing: whether outputs and the folder of `record` get latencies; without them, two replays give the
            same bytes.
        overwrite: replace output files that exist; otherwise this run's get another name, which `warn` says.
        warn: called with a line for people when an output is lost or back, from any thread.

    Attributes:
        source, to, record, timing, overwrite: as given.
        bundle, outputs, recorder: opened on entering.
        rate: ticks per second; 0 before entering.
        wanted: the modalities that the bundle takes, and what each comes from.
        statistics: what was present, and latencies.
        absences: by modality that has a source, whether it is missing, why, and for how long.
        broken: what ended the source early, if something did.
        views: what shows the run beside its outputs; set before entering.

    Raises:
        UserError: on entering, in one line: what does not fit, exist or open. Later, from the iteration, what
            ends the run; its files are finished then.
    """

    def __init__(
        self,
        source: Source | str | Path,
        bundle: str | Path = "default",
        *,
        to: Sequence[str] = (),
        record: Path | None = None,
        keep_media: bool = False,
        started: datetime | None = None,
        about: Mapping[str, Any] | None = None,
        clock: str | None = None,
        context: Mapping[str, Sequence[float]] | None = None,
        offsets: Mapping[str, float] | None = None,
        voice: Voice = "followed",
        profile: str | Profile | None = None,
        timing: bool = True,
        overwrite: bool = False,
        warn: Callable[[str], None] = say,
    ) -> None:
        super().__init__()
        if keep_media and record is None:
            raise UserError("pictures and sound are kept in the folder of `record`: give one")
        if clock is not None and record is None:
            raise UserError("--clock: is for a session that is recorded, to join it with what others record")
        self.source = source if isinstance(source, Source) else open_source(Path(source))
        self.source.keeps_media, self.source.warn = keep_media, warn
        self.rate = 0
        self.statistics = Statistics()
        self.to, self.record, self.timing, self.overwrite = to, record, timing, overwrite
        self.broken: SourceFailure | None = None
        self.views: list[View] = []
        self._people: People | None = None
        self._started, self._about, self._clock = started, dict(about or {}), clock
        self._voice: Voice = voice
        self._given = profile
        self._bundle, self._context, self._warn, self._offsets = bundle, context, warn, offsets
        self.recorder: Recorder | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.bundle = Bundle.load(self._bundle)
        metadata = self.bundle.metadata
        if isinstance(self._given, str):
            self._given = profiles.load(self._given)
        if self._given is not None and self.source.people > 1:
            raise UserError(f"profile {self._given.name} is of one person: follow one, without --people")
        self._engine = Engine(self.bundle, self.source.people, self._given)
        self.rate = self._engine.rate
        self.context = context_values(self._context, self.source.context, metadata)
        self.wanted = match(self.source, metadata, self._offsets)
        self.absences = {
            w.name: Absence(SECOND // self.rate, w.max_age) for w in self.wanted if w.offer is not None
        }
        if self.source.people > 1:
            named = {w.schema: w.name for w in self.wanted}
            names = named.get(FACE.name), named.get(AUDIO.name)
            self._people = People(self.source.people, *names, self._voice, self.rate, self.source.apart)
        with ExitStack() as stack:  # what was opened is closed again if the rest cannot be
            stack.push(self._end_recording)  # when the rest is closed
            self.source.open(self.wanted, self.rate)
            stack.callback(self.source.close)
            live = self.source.clock is not None
            kept = self.source.path
            outputs = Outputs(self.to, live=live, warn=self._warn, overwrite=self.overwrite, source=kept)
            self.outputs = stack.enter_context(outputs)
            if self.record is not None:
                from .recorder import Recorder  # which needs pyarrow

                description = describe.session(self) | self._about
                started = self._started or self.source.began
                self.recorder = Recorder(self.record, description, self.source, started, self._clock)
                for beside in (self.recorder.media, self.recorder.clock):
                    if beside is not None:
                        stack.enter_context(beside)
            for page in (self.outputs.page, *self.views):
                if page is not None:
                    page.observe(self)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:  # whatever is interrupted, the rest is closed
            self.stop()
            if self._thread is not None:
                self._thread.join()
            if kind is None and self._failure is not None:
                kind, error = type(self._failure), self._failure
            self.over = True
            self.apply_controls()
        finally:
            self._stack.__exit__(kind, error, trace)
        if self._failure is not None and error is self._failure:
            raise self._failure

    def _end_recording(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.recorder is not None:
            self.recorder.end(self._recorded_summary, kind)

    def _recorded_summary(self) -> dict[str, Any]:
        summary = self.summary()
        return summary if self.timing else summary | {"latency_ms": {}}

    def __iter__(self) -> Generator[Estimate]:
        if not self.rate:
            raise RuntimeError("enter the run first: with Run(…) as run")
        self._engine.reset()
        for observation in self._observations():
            self.observation = observation.masked() if self.paused else observation
            self.apply_marks(observation.time)
            self.apply_controls()
            for one, estimate in self._estimates(self.observation):
                self.statistics.add(estimate)
                kept = estimate if self.timing else estimate.without_timing()
                if self.recorder is not None:
                    self.recorder.record(one, kept)
                labels = self.labels_until(one.time)
                stamped = kept.stamped(wall_clock.at(self.source.began, kept.t), labels)
                self.outputs.write(stamped, one)
                for view in self.views:
                    view.write(stamped, one)
                self.continue_calibration(one)
                yield estimate
                if self.source.stopped:
                    return
            self._explain(self.observation)

    def _observations(self) -> Iterator[Observation]:
        try:
            yield from self.source
        except SourceFailure as error:
            self.broken = error
            raise

    def _estimates(self, observation: Observation) -> Iterator[tuple[Observation, Estimate]]:
        """Step the model: an observation and an estimate of each person."""
        if self._people is None:
            self.meet(observation)
            each: Mapping[int, Observation] = {0: observation}
        else:
            each = self._people.observations(observation, self._engine.reset)
        streams = [
            {**each[place].values, **self.context} if place in each else None
            for place in range(self.source.people)
        ]
        began = time.monotonic_ns()
        steps = self._engine.step_streams(streams)
        latency = latency_of(observation.timing, began, time.monotonic_ns())
        for place, one in each.items():
            step = steps[place]
            assert step is not None
            yield one, estimate_of(one, step, latency)

    def start(self, callback: Callable[[Estimate], None]) -> None:
        """Call back with each estimate, from a thread of the run's own, until `stop` or the end of the
        context. What goes wrong there ends the run, with a line to `warn`, and is raised at that end."""

        def run() -> None:
            try:
                for estimate in self:
                    callback(estimate)
            except BaseException as error:
                self._failure = error
                self.stop()
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                self._warn(one_line(f"the run has ended: {kind}{error}"))

        self._thread = threading.Thread(target=run, name="enrapt callback", daemon=True)
        self._thread.start()

    @property
    def page(self) -> "PageServer | None":
        """The server of the page, where an address asked for one."""
        return self.outputs.page

    @property
    def counts(self) -> Mapping[str, Counts]:
        """By modality, where its samples went so far; complete after the run."""
        return self.source.counts

    # JSON values; see `describe`.
    summary, description, status = describe.summary, describe.description, describe.status

    @property
    def missing(self) -> Mapping[str, str]:
        """By modality that has a source and has been missing for some seconds: why, in words."""
        return {name: a.reason.text for name, a in self.absences.items() if a.reason is not None}

    def _explain(self, observation: Observation) -> None:
        for wanted in self.wanted:
            if (absence := self.absences.get(wanted.name)) is None:
                continue
            if self.paused:
                absence.reset()
            else:
                present = observation.values[wanted.name] is not None
                counts = self.counts.get(wanted.name, Counts())
                absence.update(observation.time, present, counts, partial(self.source.why_missing, wanted))

    def landmarks(self) -> "Landmarks | None":
        """Of the face in the newest picture, where a preview of it was asked for."""
        return None

    def note(self, time: int, label: str) -> None:
        super().note(time, label)
        if self.recorder is not None:
            self.recorder.mark(time, label)
        self.outputs.mark(time / SECOND, label)
        for view in self.views:
            view.mark(time / SECOND, label)

    def forget(self) -> None:
        self._engine.reset()

    def adapt(self, ticks: Sequence[Values] | None) -> None:
        if ticks is None:
            assert not isinstance(self._given, str)
            self._engine.profile = self._given
        else:
            whole = [{**values, **self.context} for values in ticks]
            self._engine.profile = calibrate(self.bundle, NEW, whole)

    @property
    def profile(self) -> Profile | None:
        """That the estimates go through: the one that was given, or follows from `calibrate`."""
        return self._engine.profile
