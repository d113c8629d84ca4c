"""A session that ends before its time, killed or on a full disk, is kept up to then."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.store.tables import Encoder
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.session_rows import ARROWS, DESCRIPTION, expected_rows, read, tick

pytestmark = pytest.mark.live


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError])
def test_after_an_exception_nothing_is_lost_but_the_session_is_not_ended(tmp_path, stop):
    def mark_then_stop() -> None:
        with SessionWriter(tmp_path, DESCRIPTION) as writer:
            writer.mark(5, "here")
            raise stop

    with pytest.raises(stop):
        mark_then_stop()
    reader = SessionReader(tmp_path)
    assert list(reader.marks()) == [(5, "here")]
    assert reader.ended is None
    [line] = reader.lost
    assert line.startswith("session.json: the session was not ended")


REPOSITORY = Path(__file__).parents[3]  # a `python -c` imports from where it runs

# A process that records in real time, and prints the ticks that it has given to the writer.
CHILD = """
import sys, time
from pathlib import Path
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.session_rows import DESCRIPTION, TICK, tick
from enrapt.realtime.store.folder import SessionWriter
writer = SessionWriter(Path(sys.argv[1]), DESCRIPTION)
n, start = 0, time.monotonic_ns()
while True:
    for name, *arguments in tick(n):
        getattr(writer, name)(*arguments)
    print(n, flush=True)
    n += 1
    time.sleep(max(0, start + n * TICK - time.monotonic_ns()) / 1e9)
"""


@pytest.mark.parametrize("seconds", [0.5, 1.3, 1.9])
def test_a_killed_process_loses_at_most_the_last_second(tmp_path, seconds):
    folder = tmp_path / "session"
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        ticks = [int(child.stdout.readline())]  # it has begun
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        ticks += map(int, child.stdout.read().split())
    reader = SessionReader(folder)
    found = read(reader)
    expected = expected_rows([call for n in range(ticks[-1] + 2) for call in tick(n)])
    for name, rows in found.items():
        assert rows == expected[name][: len(rows)]
    for name in set(ARROWS) - {"marks.arrows"}:
        assert len(found[name]) >= ticks[-1] + 1 - 25, name
    assert reader.ended is None
    assert "the session was not ended" in reader.lost[0]


@needs_limits
def test_on_a_full_disk_the_session_up_to_then_is_kept(tmp_path):
    calls = [call for n in range(100) for call in tick(n)]
    errors = []
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        with files_no_larger_than(20_000):
            for name, *arguments in calls:
                try:
                    getattr(writer, name)(*arguments)
                except UserError as error:
                    errors.append(str(error))
        writer.close({"ticks": 100})
    [line] = errors
    assert line == (
        f"{tmp_path}: cannot be written any more (File too large); "
        "the session up to here is kept, nothing after it"
    )
    reader = SessionReader(tmp_path)
    found, expected = read(reader), expected_rows(calls)
    for name, rows in found.items():
        assert rows == expected[name][: len(rows)]
    assert 40 <= len(found["face.arrows"]) < 100
    assert reader.summary == {"ticks": 100}
    assert [lost.split(";")[0] for lost in reader.lost] == [f"{name}: cut" for name in ARROWS]
    for path in tmp_path.glob("*.arrows"):  # what did not fit was taken back: plain Arrow reads it
        assert pa.ipc.open_stream(path.read_bytes()).read_all().num_rows == len(found[path.name])


@needs_limits
def test_without_room_to_begin_nothing_is_left(tmp_path):
    with files_no_larger_than(1000), pytest.raises(UserError, match="cannot be written"):
        SessionWriter(tmp_path / "session", DESCRIPTION)
    assert list(tmp_path.iterdir()) == []


@needs_limits
def test_a_disk_that_is_full_at_the_end_is_reported_once(tmp_path):
    writer = SessionWriter(tmp_path, DESCRIPTION)
    calls = [call for n in range(20) for call in tick(n)]
    for name, *arguments in calls:
        getattr(writer, name)(*arguments)
    with files_no_larger_than(5000), pytest.raises(UserError, match="cannot be written any more"):
        writer.close()
    with files_no_larger_than(100):
        writer.close()
    assert SessionReader(tmp_path).ended is None
    assert not list(tmp_path.glob("*.part"))


def test_ctrl_c_while_the_session_is_being_closed_loses_nothing(tmp_path, monkeypatch):
    calls = [call for n in range(15) for call in tick(n)]
    batch, interrupts = Encoder.batch, iter([None, KeyboardInterrupt])

    def interrupted(encoder, rows):
        if rows and next(interrupts, None):
            raise KeyboardInterrupt
        return batch(encoder, rows)

    writer = SessionWriter(tmp_path, DESCRIPTION)
    for name, *arguments in calls:
        getattr(writer, name)(*arguments)
    monkeypatch.setattr(Encoder, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.close({"ticks": 15})
    reader = SessionReader(tmp_path)
    assert read(reader) == expected_rows(calls)
    assert reader.lost == []
    assert reader.summary == {"ticks": 15}
