"""The aligner against a reference that looks at all samples for every tick, and against orders of arrival."""

from collections import Counter
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.alignment import END, Aligner
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import SECOND, Observation, Sample

MS = 1_000_000
MAX_AGE = {"face": 250 * MS, "audio": 100 * MS}
RATES = st.sampled_from([1, 5, 24, 25, 30, 60, 100])


def sample(modality: str, time: int, sequence: int, *, empty: bool = False) -> Sample:
    return Sample(modality, time, None if empty else np.array([sequence], np.float32), sequence)


def key(observation: Observation) -> tuple[object, ...]:
    """What an observation says, comparable: the sequence stands for the sample."""
    shown = {m: None if v is None else int(v[0]) for m, v in observation.values.items()}
    return observation.tick, observation.time, shown, observation.age


@st.composite
def streams(draw: st.DrawFn, modality: str) -> list[Sample]:
    """5 to 120 samples a second with jitter, gaps, equal and backward times, some that found nothing."""
    interval = SECOND // draw(st.integers(5, 120))
    time = draw(st.integers(-300, 300)) * MS
    samples = []
    for sequence in range(draw(st.integers(0, 40))):
        samples.append(sample(modality, time, sequence, empty=draw(st.integers(0, 5)) == 0))
        match draw(st.sampled_from(["next", "next", "next", "next", "jitter", "gap", "same", "back"])):
            case "next":
                time += interval
            case "jitter":
                time += interval + draw(st.integers(-interval // 2, interval // 2))
            case "gap":
                time += draw(st.integers(0, 2 * SECOND))
            case "back":
                time -= draw(st.integers(0, 3 * interval))
    return samples


both = st.tuples(streams("face"), streams("audio"))


@dataclass
class Reference:
    """Every tick up to the last sample, each by a look at every sample that has arrived by then."""

    rate: int
    t0: int
    samples: list[Sample]

    def time(self, tick: int) -> int:
        return self.t0 + tick * SECOND // self.rate

    def choose(self, modality: str, time: int, arrived: list[Sample]) -> Sample | None:
        known = [s for s in arrived if s.modality == modality and s.originating_time <= time]
        return max(known, key=lambda s: (s.originating_time, -s.sequence), default=None)

    def observe(self, tick: int, arrived: list[Sample]) -> tuple[object, ...]:
        time = self.time(tick)
        shown: dict[str, int | None] = {}
        ages: dict[str, int | None] = {}
        for modality, max_age in MAX_AGE.items():
            best = self.choose(modality, time, arrived)
            present = best and best.values is not None and time - best.originating_time <= max_age
            shown[modality] = best.sequence if best and present else None
            ages[modality] = time - best.originating_time if best and present else None
        return tick, time, shown, ages

    def run(self) -> list[tuple[object, ...]]:
        last = max((s.originating_time for s in self.samples), default=-END)
        ticks = takewhile(lambda k: self.time(k) <= last, iter(range(10**6)))
        return [self.observe(k, self.samples) for k in ticks]

    def counts(self, modality: str, ticks: int) -> Counter[str]:
        """Where each sample went, by definition; nothing may have been late."""
        mine = [s for s in self.samples if s.modality == modality]
        went: Counter[str] = Counter()
        for s in mine:
            served = [self.time(k) for k in range(ticks) if self.choose(modality, self.time(k), mine) is s]
            same = [o for o in mine if o.originating_time == s.originating_time]
            if any(o.sequence < s.sequence for o in same):
                went["duplicate"] += 1
            elif any(t - s.originating_time <= MAX_AGE[modality] for t in served):
                went["used"] += 1
            elif served:
                went["expired"] += 1
            elif ticks == 0 or s.originating_time > self.time(ticks - 1):
                went["after_end"] += 1
            else:
                went["superseded"] += 1
        return went


def balanced(counts: Counts) -> bool:
    return counts.captured == counts.used + counts.dropped.total() and counts.waiting == 0


@given(both, RATES, st.integers(-(10**9), 10**9), st.randoms(use_true_random=False))
def test_any_order_within_the_wait_gives_the_reference(pair, rate, t0, random):
    face, audio = pair
    samples = [*face, *audio]
    reference = Reference(rate, t0, samples)
    shuffled = samples.copy()
    random.shuffle(shuffled)
    aligner = Aligner(t0, rate, MAX_AGE)
    for s in shuffled:
        aligner.push(s)
    for modality in MAX_AGE:
        aligner.advance(modality, END)
    observations = [key(o) for o in aligner.release()]
    aligner.finish()
    assert observations == reference.run()
    for modality, counts in aligner.counts.items():
        assert balanced(counts)
        assert counts.late == 0
        went = Counter(counts.dropped, used=counts.used)
        assert +went == reference.counts(modality, len(observations))


@given(both, RATES, st.data())
def test_streams_in_order_released_by_watermark_give_the_reference(pair, rate, data):
    """Each stream in the order of its times, the two interleaved anyhow, ticks released at once."""
    queues = [sorted(stream, key=lambda s: s.originating_time) for stream in pair]
    reference = Reference(rate, 0, [s for queue in queues for s in queue])
    aligner = Aligner(0, rate, MAX_AGE)
    observations = []
    while any(queues):
        queue = data.draw(st.sampled_from([q for q in queues if q]))
        s = queue.pop(0)
        aligner.push(s)
        # Equal times may still come: only what is before this one is sure.
        aligner.advance(s.modality, s.originating_time - 1 if queue else END)
        observations += [key(o) for o in aligner.release()]
    for modality in MAX_AGE:
        aligner.advance(modality, END)
    observations += [key(o) for o in aligner.release()]
    aligner.finish()
    assert observations == reference.run()
    assert all(balanced(c) and c.late == 0 and c.reordered == 0 for c in aligner.counts.values())


@given(both, st.data())
def test_deadlines_use_what_has_arrived_and_never_look_ahead(pair, data):
    """Forced ticks: each shows the newest that had arrived by then, late samples among them."""
    samples = [*pair[0], *pair[1]]
    aligner = Aligner(0, 25, MAX_AGE)
    reference = Reference(25, 0, samples)
    arrived: list[Sample] = []
    late: Counter[str] = Counter()
    released = 0
    deadline = 0
    for s in data.draw(st.permutations(samples)):
        late[s.modality] += released > 0 and s.originating_time <= reference.time(released - 1)
        aligner.push(s)
        arrived.append(s)
        deadline += data.draw(st.sampled_from([0, 0, 40, 90])) * MS
        for observation in aligner.release_until(deadline):
            assert key(observation) == reference.observe(released, arrived)
            released += 1
        assert reference.time(released) > deadline
    aligner.finish()
    for modality, counts in aligner.counts.items():
        assert balanced(counts)
        assert counts.late == late[modality]


@given(both, st.integers(0, 3000))
def test_nothing_later_than_a_tick_changes_it(pair, milliseconds):
    now = milliseconds * MS

    def until_now(samples: list[Sample]) -> list[tuple[object, ...]]:
        aligner = Aligner(0, 25, MAX_AGE)
        for s in samples:
            aligner.push(s)
        return [key(o) for o in aligner.release_until(now)]

    samples = [*pair[0], *pair[1]]
    assert until_now(samples) == until_now([s for s in samples if s.originating_time <= now])


@given(st.integers(1, 120), st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_the_first_tick_is_the_first_that_is_not_before_the_sample(rate, t0, time):
    aligner = Aligner(t0, rate, MAX_AGE)
    tick = aligner.first_tick(time)
    assert aligner.time(tick) >= time
    assert tick == 0 or aligner.time(tick - 1) < time


@pytest.mark.parametrize("fps", [5, 7, 25, 30, 60, 120])
def test_frame_rates(fps):
    """From 5 frames a second on, a face seen in every frame is there at every tick, as fresh as it can be."""
    frames = [sample("face", k * SECOND // fps, k) for k in range(2 * fps + 1)]
    aligner = Aligner(0, 25, {"face": 250 * MS})
    for s in frames:
        aligner.push(s)
    aligner.advance("face", END)
    observations = list(aligner.release())
    assert [o.tick for o in observations] == list(range(51))
    for o in observations:
        assert o.values["face"] is not None
        assert o.values["face"][0] == max(s.sequence for s in frames if s.originating_time <= o.time)
    counts = aligner.counts["face"]
    assert counts.used == len(
        {int(o.values["face"][0]) for o in observations if o.values["face"] is not None}
    )
    assert counts.dropped["superseded"] == len(frames) - counts.used


def test_a_watermark_that_has_not_reached_a_tick_holds_it_back():
    aligner = Aligner(0, 25, MAX_AGE)
    aligner.push(sample("face", 80 * MS, 0))
    aligner.advance("face", 80 * MS)
    assert list(aligner.release()) == []
    aligner.advance("audio", 79_999_999)
    assert [o.tick for o in aligner.release()] == [0, 1]
    aligner.advance("audio", 10)  # never back
    aligner.advance("audio", 80 * MS)
    (observation,) = aligner.release()
    assert key(observation) == (2, 80 * MS, {"face": 0, "audio": None}, {"face": 0, "audio": None})


def test_age_ends_presence_exactly_after_max_age():
    aligner = Aligner(0, 1000, {"audio": 100 * MS})
    aligner.push(sample("audio", 0, 0))
    ages = [o.age["audio"] for o in aligner.release_until(102 * MS)]
    assert ages == [k * MS for k in range(101)] + [None, None]


def test_found_nothing_replaces_what_was_seen_before():
    aligner = Aligner(0, 25, MAX_AGE)
    aligner.push(sample("face", 0, 0))
    aligner.push(sample("face", 40 * MS, 1, empty=True))
    assert [o.values["face"] is not None for o in aligner.release_until(80 * MS)] == [True, False, False]
    assert aligner.counts["face"].used == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_duplicates_the_smaller_sequence_wins(order):
    aligner = Aligner(0, 25, {"face": SECOND})
    for sequence in order:
        aligner.push(sample("face", 40 * MS, sequence))
    *_, last = aligner.release_until(40 * MS)
    assert last.values["face"] is not None
    assert last.values["face"][0] == 0
    assert aligner.counts["face"] == Counts(captured=2, used=1, dropped=Counter(duplicate=1), delivered=2)


def test_a_late_sample_serves_the_next_tick_unless_a_newer_one_is_there():
    aligner = Aligner(0, 25, {"face": SECOND})
    list(aligner.release_until(80 * MS))
    aligner.push(sample("face", 50 * MS, 1))
    (served,) = aligner.release_until(120 * MS)
    assert served.age == {"face": 70 * MS}
    aligner.push(sample("face", 30 * MS, 0))
    (again,) = aligner.release_until(160 * MS)
    assert again.age == {"face": 110 * MS}
    assert aligner.counts["face"] == Counts(
        captured=2, used=1, dropped=Counter(superseded=1), late=2, reordered=1, delivered=2
    )


def test_nothing_grows_over_hours():
    aligner = Aligner(0, 25, MAX_AGE)
    for k in range(5_000):
        for modality in MAX_AGE:
            aligner.push(sample(modality, k * SECOND // 50, k))
            aligner.advance(modality, k * SECOND // 50)
        for _ in aligner.release():
            pass
        assert all(len(track.waiting) <= 1 for track in aligner._tracks.values())
    assert all(counts.waiting <= 1 for counts in aligner.counts.values())
