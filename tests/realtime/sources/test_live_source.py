"""A live run of simulated devices: real threads, a real engine."""

import itertools
import threading
import time

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.controls import RESET
from enrapt.realtime.run import Run
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.store.reader import SessionReader
from tests.support.bundles import make_bundle
from tests.support.devices import camera, microphone

pytestmark = pytest.mark.live

MS = 1_000_000


def live(devices, bundle, seconds, at=lambda estimate: None, **options):
    """Run for so many seconds; each estimate, and the run."""
    with Run(LiveSource(devices), bundle, **options) as run:
        estimates = []
        for estimate in run:
            estimates.append(estimate)
            at(estimate)
            if estimate.tick >= seconds * run.rate:
                break
    return estimates, run


def test_a_tick_every_40_ms_in_order_with_face_and_sound(tiny_bundle):
    devices = [camera(), microphone()]
    began = time.monotonic()
    estimates, run = live(devices, tiny_bundle, 2.0)
    assert 1.9 < time.monotonic() - began < 2.6
    assert [e.tick for e in estimates] == list(range(51))
    later = estimates[5:]
    assert all(e.present == {"face": True, "audio": True} for e in later)
    # Of a picture every 33 ms and sound every 40 ms, both on time.
    assert 0 <= np.median([e.latency_ms.tick for e in later]) < 50
    assert all(set(e.latency_ms.waits) <= {"face", "audio"} for e in later)
    for modality, device in zip(("face", "audio"), devices, strict=True):
        counts = run.counts[modality]
        assert counts.waiting == 0
        assert counts.captured == counts.used + counts.dropped.total() == device.captured
    assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]


def test_ticks_go_on_when_devices_are_lost_and_return(tiny_bundle):
    devices = [camera(), microphone()]

    def unplug(estimate):
        for device in devices:
            device.unplugged = 25 <= estimate.tick < 50

    estimates, _ = live(devices, tiny_bundle, 3.0, unplug)
    assert [e.tick for e in estimates] == list(range(76))
    present = [tuple(e.present.values()) for e in estimates]
    assert all(p == (True, True) for p in present[12:24])
    assert all(p == (False, False) for p in present[34:50])  # a picture counts for 250 ms
    assert all(p == (True, True) for p in present[62:])
    waits = [e.latency_ms.tick for e in estimates[34:50]]
    assert np.percentile(waits, 80) < 45  # no tick waits for a lost device


def test_slow_extraction_drops_pictures_and_delays_no_tick(tiny_bundle):
    device = camera(extract_ms=100)
    estimates, run = live([device], tiny_bundle, 2.0)
    assert run.counts["face"].dropped["superseded"] > 30
    first_use, seen = [], set()
    for estimate in estimates:
        age = estimate.age_ms["face"]
        if age is not None and (picture := round(estimate.t * 1000 - age)) not in seen:
            seen.add(picture)
            first_use.append(estimate.latency_ms.tick + age)
    assert len(first_use) > 15
    assert np.percentile(first_use, 90) < 2 * 100  # one is extracted, and none queues
    assert np.median([e.latency_ms.tick for e in estimates]) < 60  # the deadline
    assert run.counts["face"].waiting == 0


def test_a_slow_reader_of_estimates_gets_every_tick_in_order(tiny_bundle):
    devices = [camera(), microphone()]
    estimates, _ = live(devices, tiny_bundle, 2.0, lambda e: time.sleep(0.3 if e.tick == 10 else 0))
    assert [e.tick for e in estimates] == list(range(51))
    assert all(all(e.present.values()) for e in estimates[25:])


def test_it_can_be_stopped_from_another_thread(tiny_bundle):
    with Run(LiveSource([camera()]), tiny_bundle) as run:
        threading.Timer(0.3, run.stop).start()
        assert 3 <= sum(1 for _ in run) <= 12


def test_a_failure_in_a_devices_thread_ends_the_run_with_its_files_finished(tiny_bundle, tmp_path):
    device = camera()
    lines = tmp_path / "estimates.jsonl"

    def run():
        with Run(LiveSource([device]), tiny_bundle, to=[f"jsonl:{lines}"]) as run:
            for estimate in itertools.islice(run, 100):
                if estimate.tick == 5:
                    device.failure = UserError("the sensor has burnt out")

    with pytest.raises(UserError, match="burnt out"):
        run()
    assert len(lines.read_text().splitlines()) > 5
    assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]


def test_paused_nothing_is_extracted_and_ticks_go_on(tiny_bundle):
    devices = [camera(), microphone()]
    extracted = []

    def pause(estimate):
        if estimate.tick == 25:
            run.pause()
        if estimate.tick == 49:
            run.resume()
        extracted.append(len(devices[0].extracted))

    with Run(LiveSource(devices), tiny_bundle) as run:
        estimates = []
        for estimate in run:
            estimates.append(estimate)
            pause(estimate)
            if estimate.tick == 75:
                break
    assert extracted[48] - extracted[26] <= 1  # one may have been under way
    assert all(not any(e.present.values()) for e in estimates[26:50])
    assert all(all(e.present.values()) for e in estimates[62:])
    assert run.counts["face"].dropped["paused"] > 20


def test_after_a_reset_the_model_starts_over(tiny_bundle):
    device = camera()
    device.unplugged = True
    with Run(LiveSource([device]), tiny_bundle) as run:
        estimates = []
        for estimate in itertools.islice(run, 25):
            estimates.append(estimate)
            if estimate.tick == 9:
                run.reset()
    said = [e.engagement for e in estimates]
    assert said[10:20] == said[:10] != said[1:11]


def test_everything_is_recorded_in_order(tiny_bundle, tmp_path):
    def reset(estimate):
        if estimate.tick == 9:
            run.reset()

    with Run(LiveSource([camera()]), tiny_bundle, record=tmp_path / "session") as run:
        estimates = []
        for estimate in itertools.islice(run, 25):
            estimates.append(estimate)
            reset(estimate)
    reader = SessionReader(tmp_path / "session")
    assert list(reader.estimates()) == estimates
    assert [o.tick for o in reader.observations()] == list(range(25))
    assert list(reader.marks()) == [(400 * MS, RESET)]
    counts = run.counts["face"]
    delivered = counts.captured - sum(counts.dropped[r] for r in ("before_start", "paused", "after_end"))
    samples = list(reader.samples("face"))
    assert delivered - counts.dropped["superseded"] <= len(samples) <= delivered + counts.dropped["after_end"]
    assert all(arrived >= sample.originating_time for sample, arrived in samples)
    assert not reader.lost


def test_one_line_says_what_does_not_fit(tiny_bundle):
    with pytest.raises(UserError, match=r"live gives nothing, but bundle 'tiny' takes face \(face/1\)"):
        Run(LiveSource([]), tiny_bundle).__enter__()
    with pytest.raises(UserError, match="no context 'role'"):
        Run(LiveSource([camera()]), tiny_bundle, context={"role": [1.0]}).__enter__()
    with pytest.raises(UserError, match=r"live gives gaze, but bundle 'tiny' takes face"):
        Run(LiveSource([camera(), Pushed("gaze")]), tiny_bundle).__enter__()


def test_pushed_features_of_any_schema_reach_the_model(three_bundle):
    gaze, heart = Pushed("eyes", schema="gaze/1", dim=3), Pushed("heart")
    with Run(LiveSource([gaze, heart, microphone()]), three_bundle) as run:
        names = [w.name for w in run.wanted]
        estimates = []
        for estimate in itertools.islice(run, 40):
            estimates.append(estimate)
            if estimate.tick < 20:
                gaze.push([0.1, 0.2, 0.3])
            heart.push([60.0, 0.5])
    present = {name: [e.present[name] for e in estimates] for name in names}
    assert present["gaze"][2]
    assert present["heart"][2]
    assert present["voice"][10]
    assert all(present["gaze"][20:40])  # its max_age is 1 s
    assert estimates[10].surprise["heart"] == pytest.approx(30.25, abs=0.01)


def test_two_cameras_give_two_modalities_of_the_same_schema(tmp_path):
    bundle = tmp_path / "pair.onnx"
    make_bundle(bundle, [("anna", FACE.dim, FACE.name, None), ("ben", FACE.dim, FACE.name, None)])
    first, second = camera(), camera(values=np.full(FACE.dim, 2, np.float32))
    with Run(LiveSource([first, second]), bundle) as run:
        *_, last = itertools.islice(run, 20)
        assert list(run.source.devices.values()) == [first, second]
        assert list(run.source.devices) == ["camera", "camera 2"]
    assert last.surprise == {"anna": 1.0, "ben": 2.0}  # the means of what each saw
