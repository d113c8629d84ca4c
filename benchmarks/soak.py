"""A simulated day of a live run at full speed: drifting and failing devices; memory and lateness of ticks.

    python benchmarks/soak.py [--hours 24]

Pictures arrive at 30 Hz by a clock that is 200 ppm fast, and features of sound every 40 ms by one that is
200 ppm slow and mapped back by `DeviceClock` from blocks that arrive up to 30 ms late. Both are lost for half
a minute every twenty minutes. `Pacing` emits the ticks, the shipped bundle steps them. Output: ticks, the
conservation table, how late ticks were, the slope of resident memory from the first hour on, and the largest
error of the mapped times of sound after the first minute.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import psutil

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.streams.alignment import Aligner
from enrapt.realtime.streams.clock import DeviceClock
from enrapt.realtime.streams.pacing import Pacing
from enrapt.realtime.streams.samples import SECOND, Sample

AGES = {"face": round(FACE.max_age * SECOND), "audio": round(AUDIO.max_age * SECOND)}
AWAY_EVERY, AWAY = 1200 * SECOND, 30 * SECOND
Arrival = tuple[int, str, int, int]  # when, modality, true originating time, the device's own time


def arrivals(
    rng: np.random.Generator, modality: str, period: int, ppm: float, late: int
) -> Iterator[Arrival]:
    """When material arrives, in order."""
    number, last = 0, 0
    while True:
        device = number * period
        true = round(device / (1 + ppm * 1e-6))
        number += 1
        if true % AWAY_EVERY < AWAY and true > AWAY:
            continue
        last = max(last, true + rng.integers(late))
        yield int(last), modality, true, device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24.0)
    end = round(parser.parse_args().hours * 3600 * SECOND)
    rng = np.random.default_rng(0)
    engine = Engine(Bundle.load("default"))
    aligner = Aligner(0, engine.rate, AGES)
    pacing, clock = Pacing(aligner, ["face", "audio"]), DeviceClock()
    sources = {
        "face": arrivals(rng, "face", SECOND // 30, 200, 20_000_000),
        "audio": arrivals(rng, "audio", SECOND // 25, -200, 30_000_000),
    }
    following = {name: next(source) for name, source in sources.items()}
    features = {
        "face": rng.standard_normal((100, FACE.dim), np.float32),
        "audio": rng.standard_normal((100, AUDIO.dim), np.float32),
    }
    last = dict.fromkeys(sources, 0)
    emitted, worst_clock, lost_mapping = 0, 0, 0
    late = np.zeros(100_000)  # ms; the last ones
    process, memory, next_look = psutil.Process(), [], 0
    began = time.perf_counter()
    now = 0
    while now < end:
        name = min(following, key=lambda n: following[n][0])
        arrived, modality, true, device = following[name]
        if pacing.deadline < arrived:  # nothing comes before the next tick is overdue
            now = pacing.deadline
            for m, at in last.items():
                if now - at > SECOND // 2:
                    pacing.lose(m)
        else:
            now = arrived
            following[name] = next(sources[name])
            if now - last[name] > SECOND and name == "audio":
                clock.restart()
            last[name] = now
            at: int | None = true
            if modality == "audio":
                clock.observe(device, now)
                at = clock.time(device)
                if at is None:
                    lost_mapping += 1
                elif now > 60 * SECOND and (now % AWAY_EVERY) > AWAY + 60 * SECOND:
                    worst_clock = max(worst_clock, abs(at - true))
            if at is not None:
                value = features[modality][emitted % 100]
                at = min(at, now)
                pacing.push(Sample(modality, at, value, emitted), at, now)
        while (observation := pacing.next(now)) is not None:
            engine.step(observation.values)
            assert observation.tick == emitted
            emitted += 1
            late[observation.tick % len(late)] = (now - observation.time) / 1e6
        if now >= next_look:
            memory.append((now / 3600 / SECOND, process.memory_info().rss / 1e6))
            next_look = now + 300 * SECOND
    aligner.finish()
    wall = time.perf_counter() - began
    wanted = end // SECOND * engine.rate
    print(f"{emitted} ticks of {wanted} in {wall:.0f} s, {end / SECOND / wall:.0f} × real time")
    for modality, counts in aligner.counts.items():
        dropped = " + ".join(f"{n} {reason}" for reason, n in counts.dropped.items() if n) or "0 dropped"
        exact = counts.captured == counts.used + counts.dropped.total()
        print(f"{modality}: {counts.captured} captured = {counts.used} used + {dropped}: {exact}")
    print(
        "tick late by, ms: p50 {:.1f}, p95 {:.1f}, p99 {:.1f}".format(
            *np.percentile(late[:emitted], (50, 95, 99))
        )
    )
    hours, megabytes = np.array(memory).T
    settled = hours >= min(1.0, hours[-1] / 2)
    slope = np.polyfit(hours[settled], megabytes[settled], 1)[0]
    print(f"memory {megabytes[-1]:.1f} MB, slope {slope:+.3f} MB an hour")
    print(f"sound's time off by at most {worst_clock / 1e6:.1f} ms ({lost_mapping} blocks without a time)")


if __name__ == "__main__":
    main()
