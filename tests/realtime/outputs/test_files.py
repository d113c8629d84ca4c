"""An output file has its name only when it is complete."""

import csv
import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.store.estimates_file import read_estimates
from enrapt.realtime.streams.samples import Observation
from tests.support.full_disk import files_no_larger_than, needs_limits


def estimate(tick: int, *, audio: bool = True) -> Estimate:
    return Estimate(
        tick=tick,
        t=tick / 25,
        engagement=Engagement(0.5, 0.1, 0.4, 0.6),
        present={"face": True, "audio": audio},
        age_ms={"face": 12.5, "audio": 0.0 if audio else None},
        surprise={"face": 1.5, "audio": -2.0 if audio else None},
        latency_ms=Latency(0.1, extract={"face": 5.0}),
        faces=2,
        person=1,
        box=(0.25, 0.125, 0.5, 0.5) if audio else None,
        face_quality=0.75,
        face_problem=None if audio else "too dark",
    )


SEEN = Observation(0, 0, {}, {})


class open_output(Outputs):
    """One output, as in a replay."""

    def __init__(self, address: str) -> None:
        super().__init__([address], live=False, warn=pytest.fail)

    def write(self, estimate: Estimate, seen: Observation = SEEN) -> None:
        super().write(estimate, seen)


def one_estimate_then(stop: type[BaseException], address: str) -> None:
    with open_output(address) as output:
        output.write(ESTIMATES[0])
        raise stop


ESTIMATES = [estimate(0), estimate(1, audio=False), estimate(2)]


def test_json_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    with open_output(f"jsonl:{path}") as output:
        for e in ESTIMATES:
            output.write(e)
    assert [msgspec.json.decode(line, type=Estimate) for line in path.read_bytes().splitlines()] == ESTIMATES
    assert list(tmp_path.iterdir()) == [path]


def test_csv_has_a_row_per_tick_and_units_in_its_columns(tmp_path):
    path = tmp_path / "out.csv"
    with open_output(f"csv:{path}") as output:
        for e in ESTIMATES:
            output.write(e)
    first, second, _ = csv.DictReader(path.read_text().splitlines())
    assert first == {
        "tick": "0", "t_s": "0.0", "wall_clock": "", "marks": "",
        "engagement_mean": "0.5", "engagement_std": "0.1", "engagement_low": "0.4", "engagement_high": "0.6",
        "face_present": "1", "face_age_ms": "12.5", "face_surprise_nats": "1.5",
        "audio_present": "1", "audio_age_ms": "0.0", "audio_surprise_nats": "-2.0",
        "faces": "2", "person": "1",
        "face_left": "0.25", "face_top": "0.125", "face_width": "0.5", "face_height": "0.5",
        "face_quality": "0.75", "face_problem": "",
        "latency_step_ms": "0.1", "latency_total_ms": "", "latency_tick_ms": "",
        "face_extract_ms": "5.0", "face_wait_ms": "", "audio_extract_ms": "", "audio_wait_ms": "",
    }  # fmt: skip
    assert [second[f"audio_{what}"] for what in ("present", "age_ms", "surprise_nats")] == ["0", "", ""]
    assert [second[f"face_{what}"] for what in ("left", "height", "problem")] == ["", "", "too dark"]


def test_wall_clock_and_marks_beside_the_time_where_they_are_known(tmp_path):
    began = datetime(2026, 3, 1, 9, 59, 59, 960_000, timezone(timedelta(hours=1)))
    written = ESTIMATES[1].stamped(began, ["smiles", "=1, 2\n"])
    for address in (f"csv:{tmp_path / 'out.csv'}", f"jsonl:{tmp_path / 'a.jsonl'}"):
        with open_output(address) as output:
            output.write(written)
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines(keepends=True))
    assert row["wall_clock"] == "2026-03-01T09:59:59.960+01:00"
    assert row["marks"] == "smiles; =1, 2\n"
    line = json.loads((tmp_path / "a.jsonl").read_text())
    assert datetime.fromisoformat(line["wall_clock"]) == began
    assert line["marks"] == ["smiles", "=1, 2\n"]
    assert "wall_clock" not in json.loads(msgspec.json.encode(ESTIMATES[1].stamped(None, [])))
    (read,) = read_estimates(tmp_path / "out.csv")
    assert (read.wall_clock, read.marks) == (began, ("smiles; =1, 2\n",))


def test_csv_without_timing_has_no_columns_for_it(tmp_path):
    path = tmp_path / "out.csv"
    with open_output(f"csv:{path}") as output:
        output.write(ESTIMATES[0].without_timing())
    header, row = path.read_text().splitlines()
    assert "latency" not in header
    assert header.count(",") == row.count(",") == 21


def test_every_line_can_be_followed_while_the_file_is_written(tmp_path):
    part = tmp_path / "out.jsonl.part"
    with open_output(f"jsonl:{tmp_path / 'out.jsonl'}") as output:
        for n, e in enumerate(ESTIMATES, start=1):
            output.write(e)
            assert part.read_bytes().count(b"\n") == n
            assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError, BrokenPipeError])
def test_stopped_on_purpose_what_was_estimated_is_kept(tmp_path, stop):
    with pytest.raises(stop):
        one_estimate_then(stop, f"jsonl:{tmp_path / 'out.jsonl'}")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_bytes() == msgspec.json.encode(ESTIMATES[0]) + b"\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError])
def test_stopped_before_the_first_estimate_what_was_there_stays(tmp_path, stop):
    path = tmp_path / "out.jsonl"
    path.write_text("of yesterday")
    with pytest.raises(stop), Outputs([f"jsonl:{path}"], live=False, warn=lambda line: None):
        raise stop
    assert path.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [path]


def test_after_a_failure_the_part_stays(tmp_path):
    with pytest.raises(ZeroDivisionError):
        one_estimate_then(ZeroDivisionError, f"csv:{tmp_path / 'out.csv'}")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.part"]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    with open_output(f"csv:{link}") as output:
        output.write(ESTIMATES[0])
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 2


def test_a_pipe_is_written_in_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with open_output(f"jsonl:{pipe}") as output:
        output.write(ESTIMATES[0])
    reader.join(10)
    assert read == [msgspec.json.encode(ESTIMATES[0]) + b"\n"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("out.jsonl", "unknown output 'out.jsonl'"),
        ("xml:out.xml", "jsonl:FILE, csv:FILE"),
        ("jsonl:", "unknown output"),
        ("", "unknown output"),
        ("jsonl:no/such/folder/out.jsonl", "No such file or directory"),
        ("csv:.", "is a folder"),
    ],
)
def test_an_impossible_output_is_refused_at_once(tmp_path, monkeypatch, address, complaint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        open_output(address)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@needs_limits
def test_a_full_disk_is_reported_and_leaves_no_file_under_the_name(tmp_path):
    output = destination(f"jsonl:{tmp_path / 'out.jsonl'}").open()
    output.write(ESTIMATES[0], SEEN)
    with files_no_larger_than(300), pytest.raises(UserError, match="File too large"):
        output.write(ESTIMATES[1], SEEN)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl.part"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device():
    with pytest.raises(UserError, match="No space left"), open_output("jsonl:/dev/full") as output:
        output.write(ESTIMATES[0])


@pytest.mark.parametrize("address", ["-", "jsonl:-"])
def test_standard_output(address):
    program = (
        "from enrapt.realtime.outputs import Outputs\n"
        "from enrapt.realtime.engine.estimate import Engagement, Estimate\n"
        f"with Outputs([{address!r}], live=False, warn=print) as output:\n"
        "    output.write(Estimate(0, 0.0, Engagement(0.5, 0.1, 0.4, 0.6), {}, {}, {}), None)\n"
        "print('and it is still open')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    line, after = done.stdout.splitlines()
    assert msgspec.json.decode(line, type=Estimate).engagement.mean == 0.5
    assert after == b"and it is still open"


@pytest.mark.parametrize(
    "addresses",
    [
        ["jsonl:d", "csv:d"],
        ["jsonl:d", "jsonl:./d"],
        ["parquet:d", "csv:sub/../d"],
        ["csv:link", "jsonl:d"],
        ["-", "csv:-"],
    ],
)
def test_two_outputs_to_one_file_are_refused(tmp_path, monkeypatch, addresses):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("link").symlink_to("d")
    with pytest.raises(UserError, match="are one file") as caught:
        Outputs(addresses, live=True, warn=pytest.fail)
    assert all(address in str(caught.value) for address in addresses)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "sub"]


@pytest.mark.parametrize("scheme", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("live", [False, True])
def test_a_second_run_gets_another_name_or_replaces(tmp_path, scheme, live):
    said: list[str] = []
    for estimate, overwrite in zip(ESTIMATES, (False, False, True), strict=True):
        to = [f"{scheme}:{tmp_path / f'out.{scheme}'}"]
        with Outputs(to, live=live, warn=said.append, overwrite=overwrite) as outputs:
            outputs.write(estimate, SEEN)
    assert len(said) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out.{scheme}", f"out_2.{scheme}"]
    if scheme == "jsonl":
        lines = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
        assert [msgspec.json.decode(line).get("tick") for line in lines] == [2, 1]
