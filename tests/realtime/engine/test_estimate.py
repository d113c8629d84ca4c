import msgspec
import numpy as np

from enrapt.realtime.engine.engine import Step
from enrapt.realtime.engine.estimate import Estimate, Latency, estimate_of, stages
from enrapt.realtime.streams.samples import Observation, View

OBSERVATION = Observation(
    tick=308,
    time=12_320_000_000,
    values={"face": np.zeros(57, np.float32), "audio": None},
    age={"face": 12_149_999, "audio": None},
    view=View(2, 1, (0.1, 0.2, 1 / 3, 0.4), 0.91234),
)
STEP = Step(0.61234567, 0.0812345, 0.47, 0.74, {"face": 3.14159, "audio": None})
LATENCY = Latency(step=0.071234, extract={"face": 5.23456})


def test_a_line_is_as_documented():
    line = msgspec.json.encode(estimate_of(OBSERVATION, STEP, LATENCY))
    assert line == (
        b'{"tick":308,"t":12.32,"engagement":{"mean":0.6123,"std":0.0812,"low":0.47,"high":0.74},'
        b'"present":{"face":true,"audio":false},"age_ms":{"face":12.1,"audio":null},'
        b'"surprise":{"face":3.142,"audio":null},"latency_ms":{"step":0.071,"extract":{"face":5.235}},'
        b'"faces":2,"person":1,"box":[0.1,0.2,0.3333,0.4],"face_quality":0.912,"face_problem":null}'
    )


def test_without_timing_only_the_latencies_are_missing():
    estimate = estimate_of(OBSERVATION, STEP, LATENCY)
    bare = msgspec.json.decode(msgspec.json.encode(estimate.without_timing()))
    assert "latency_ms" not in bare
    whole = msgspec.json.decode(msgspec.json.encode(estimate))
    whole.pop("latency_ms")
    assert bare == whole


def test_a_line_reads_back():
    estimate = estimate_of(OBSERVATION, STEP, LATENCY)
    for e in (estimate, estimate.without_timing()):
        assert msgspec.json.decode(msgspec.json.encode(e), type=Estimate) == e


def test_an_input_without_a_source_is_not_in_the_estimate():
    """Such as a context."""
    step = STEP._replace(surprise={"face": 1.0, "audio": None, "context": 2.0})
    assert estimate_of(OBSERVATION, step, LATENCY).surprise == {"face": 1.0, "audio": None}


def test_latencies_are_in_the_order_of_the_modalities():
    latency = Latency(0.1, 20.0, 3.0, {"audio": 1.0, "face": 5.0, "other": 1.0}, {"audio": 2.0, "face": 4.0})
    estimate = estimate_of(OBSERVATION, STEP, latency)
    assert list(stages(estimate.latency_ms)) == [
        ("extract face", 5.0), ("extract audio", 1.0),
        ("step", 0.1), ("total", 20.0), ("tick", 3.0),
        ("wait for face", 4.0), ("wait for audio", 2.0),
    ]  # fmt: skip
    assert list(stages(Latency(0.1))) == [("step", 0.1)]
