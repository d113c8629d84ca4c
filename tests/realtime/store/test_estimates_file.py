"""Files of outputs are read back."""

import os
import subprocess
import sys
from itertools import repeat
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.store.estimates_file import MAX_TICKS, plausible, read_estimates
from enrapt.realtime.streams.samples import Observation


def estimate(tick: int, face: bool) -> Estimate:
    return Estimate(
        tick,
        tick / 25,
        Engagement(0.5 + tick / 100, 0.1, 0.4, 0.6),
        {"face": face, "audio": True},
        {"face": 12.5 if face else None, "audio": 0.0},
        {"face": -1.5 if face else None, "audio": 3.0},
        Latency(0.1, extract={"face": 5.0}),
        *(
            (2, 1, (0.25, 0.125, 0.5, 0.5), 0.75, None)
            if face
            else (1, 1, (0.1, 0.2, 0.3, 0.4), 0.0, "too dark")
        ),
    )


ESTIMATES = [estimate(tick, tick % 3 > 0) for tick in range(10)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_format_reads_back_exactly(tmp_path, kind):
    path = tmp_path / "estimates"
    with Outputs([f"{kind}:{path}"], live=False, warn=pytest.fail) as outputs:
        for e in ESTIMATES:
            outputs.write(e, Observation(0, 0, {}, {}))
    read = read_estimates(path)
    assert read == ESTIMATES


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no estimate"),
        (b"{}\n", "not estimates"),
        (b'{"tick":0,"t":0', "not estimates"),
        (b"a,b\n1,2\n", "not estimates"),
        (b"tick,t_s\n", "has no estimate"),
        (b"PAR1", "not estimates"),
        (b"\xff\xfe\x00", "not estimates"),
    ],
)
def test_other_files_are_a_user_error(tmp_path, content, complaint):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_estimates(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_estimates(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"t": 1e300}, "its time is out of range"),
        ({"t": -1.0}, "its time is before"),
        ({"engagement": Engagement(1e308, 0.1, 0.4, 0.6)}, "not within 0 and 1"),
        ({"engagement": Engagement(0.5, -0.1, 0.4, 0.6)}, "not within 0 and 1"),
        ({"present": {"face": True}}, "other modalities"),
        ({"surprise": {}}, "other modalities"),
    ],
)
def test_what_cannot_be_an_estimate_of_the_run_is_one_line(tmp_path, changes, complaint):
    path = tmp_path / "file.jsonl"
    last = msgspec.structs.replace(estimate(3, True), **changes)
    path.write_bytes(b"".join(msgspec.json.encode(e) + b"\n" for e in (estimate(0, True), last)))
    with pytest.raises(UserError, match=f"estimate 2: .*{complaint}"):
        read_estimates(path)


HEADER = "tick,t_s,engagement_mean,engagement_std,engagement_low,engagement_high,face_present"
HOSTILE = {
    "nan": f"{HEADER}\n0,nan,.5,.1,.3,.7,1\n",
    "inf": f"{HEADER}\n0,inf,.5,.1,.3,.7,1\n",
    "digits": f"{HEADER}\n{'9' * 5000},0,.5,.1,.3,.7,1\n",
    "exponent": f"{HEADER}\n{'9' * 4000},0,.5,.1,.3,.7,1\n",
    "field": f'{HEADER}\n"{"a" * 300_000}",0,.5,.1,.3,.7,1\n',
    "nul": f"{HEADER}\n0\0,0,.5,.1,.3,.7,1\n",
    "modalities": ",".join([HEADER, *(f"m{i}_present" for i in range(5000))]) + "\n0,0,.5,.1,.3,.7,1\n",
    "deep": "{" + "[" * 60_000,
    "deep line": '{"tick":' + "[" * 60_000,
    "one line": '{"tick":' + " " * 10_000_000,
    "number": '{"tick":' + "9" * 5000 + "}",
    "infinity": '{"tick":1,"t":Infinity}',
    "null": "{}\nnull\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_one_line(tmp_path, name):
    path = tmp_path / "file"
    path.write_text(HOSTILE[name])
    with pytest.raises(UserError) as caught:
        read_estimates(path)
    assert "\n" not in str(caught.value)


def test_what_is_infinite_and_may_be_missing_is_missing(tmp_path):
    path = tmp_path / "file"
    path.write_text(f"{HEADER},face_surprise_nats\n0,0,.5,.1,.3,.7,1,inf\n")
    assert read_estimates(path)[0].surprise == {"face": None}


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            read_estimates(path)


def test_more_ticks_than_memory_holds_are_refused_before_they_are_read(tmp_path):
    rows = MAX_TICKS + 1
    names = HEADER.split(",")
    columns = {name: pa.array(np.zeros(rows), pa.float64()) for name in names}
    pq.write_table(pa.table(columns), tmp_path / "bomb.parquet")
    with pytest.raises(UserError, match="more than 500,000 ticks"):
        read_estimates(tmp_path / "bomb.parquet")
    with pytest.raises(UserError, match="more than 500,000 ticks"):
        plausible(repeat(estimate(0, True)), tmp_path)


def readable(path: Path) -> bool:
    try:
        assert read_estimates(path)
    except UserError as error:
        line = str(error)
    else:
        return True
    assert "\n" not in line
    return False


@given(st.binary(max_size=300), st.sampled_from([b"", b"{", b"PAR1", HEADER.encode() + b"\n"]))
def test_any_bytes_are_estimates_or_one_line(tmp_path_factory, data, start):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(start + data)
    readable(path)


def altered(random: Random, data: bytes) -> bytes:
    new = bytearray(data)
    at, n = random.randrange(len(new)), random.randrange(1, 20)
    match random.randrange(5):
        case 0:
            del new[at:]
        case 1:
            del new[at : at + n]
        case 2:
            new[at:at] = random.randbytes(n)
        case 3:
            new[at : at + 8] = random.choice((b"\xff", b"\0", b"9", b"[")) * 8
        case _:
            for _ in range(n):
                new[random.randrange(len(new))] = random.randrange(256)
    return bytes(new)


def read_altered(path: Path) -> None:
    """In a process of its own, because a crash would end this one."""
    good = path.read_bytes()
    seen = set()
    for seed in range(200):
        path.write_bytes(altered(Random(seed), good))
        seen.add(readable(path))
    assert False in seen


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_altered_files_are_estimates_or_one_line(tmp_path, kind):
    path = tmp_path / "estimates"
    with Outputs([f"{kind}:{path}"], live=False, warn=pytest.fail) as outputs:
        for e in ESTIMATES:
            outputs.write(e, Observation(0, 0, {}, {}))
    code = f"import sys; from {__name__} import *; read_altered(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_long_texts_of_parquet_are_refused(tmp_path):
    with Outputs([f"parquet:{tmp_path / 'out'}"], live=False, warn=pytest.fail) as outputs:
        for e in ESTIMATES:
            outputs.write(e, Observation(0, 0, {}, {}))
    table = pq.read_table(tmp_path / "out")
    at = table.schema.get_field_index("face_problem")
    for text in (["x" * 10_000] * 10, pa.array([b"dark"] * 10), [1.5] * 10):
        pq.write_table(table.set_column(at, "face_problem", [text]), tmp_path / "long")
        with pytest.raises(UserError, match="not estimates"):
            read_estimates(tmp_path / "long")
