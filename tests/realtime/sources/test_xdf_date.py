"""The date in an XDF file's header is the wall clock of the session and of the outputs."""

import csv
import datetime
import json

import numpy as np
import pytest

from enrapt.realtime.run import Run
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.store.reader import SessionReader
from tests.support.xdf_files import Stream, audio, face, vectors, write

DATE = "2026-03-01T23:59:59+0100"  # as LabRecorder writes it
BEGAN = datetime.datetime(2026, 3, 1, 22, 59, 59, tzinfo=datetime.UTC)


def recorded(path, bundle, folder):
    """Estimates in JSON, rows in CSV, and the session, of a replay."""
    lines, table = folder / "a.jsonl", folder / "a.csv"
    to = [f"jsonl:{lines}", f"csv:{table}"]
    with Run(XdfSource(path), bundle, to=to, record=folder / "session", timing=False) as run:
        for _ in run:
            pass
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [json.loads(line) for line in lines.read_text().splitlines()], rows, folder / "session"


@pytest.mark.parametrize("name", ["a.xdf", "a.xdfz"])
def test_the_headers_date_is_in_the_session_and_in_outputs(tiny_bundle, tmp_path, name):
    path = write(tmp_path / name, face(2, begin=100.0), audio(2, begin=100.0), date=DATE)
    estimates, rows, session = recorded(path, tiny_bundle, tmp_path)
    described = json.loads((session / "session.json").read_text())
    assert datetime.datetime.fromisoformat(described["started"]) == BEGAN
    assert described["description"]["started_by"] == "recording"
    assert SessionReader(session).began == BEGAN
    assert len(estimates) == len(rows) == 50
    for estimate, row in zip(estimates, rows, strict=True):
        assert row["wall_clock"].endswith("+01:00")
        when = datetime.datetime.fromisoformat(row["wall_clock"])
        assert when == datetime.datetime.fromisoformat(estimate["wall_clock"])
        assert (when - BEGAN).total_seconds() == pytest.approx(estimate["t"], abs=0.0006)
    assert rows[25]["wall_clock"] == "2026-03-02T00:00:00.000+01:00"


@pytest.mark.parametrize(
    ("date", "began"),
    [
        ("2026-03-01T22:59:59Z", BEGAN),
        ("2026-03-01T23:59:59.000000+01:00", BEGAN),
        ("2026-03-01T23:59:59", None),  # of which zone?
        ("yesterday", None),
        ("9999-12-31T23:59:59.9+0000", datetime.datetime(9999, 12, 31, 23, 59, 59, 900_000, datetime.UTC)),
        ("", None),
        (None, None),
    ],
)
def test_a_date_that_says_no_time_is_none(tiny_bundle, tmp_path, date, began):
    path = write(tmp_path / "a.xdf", face(1, begin=100.0), date=date)
    estimates, rows, session = recorded(path, tiny_bundle, tmp_path)
    assert SessionReader(session).began == began
    assert ("wall_clock" in estimates[0]) == (began is not None) == (rows[0]["wall_clock"] != "")


def test_a_stream_that_begins_later_has_the_wall_clock_of_its_own_beginning(tiny_bundle, tmp_path):
    first = Stream("clicker", 100 + 5000.0 + 10.0 * np.arange(5), vectors(5, 3), ahead=5000.0)
    path = write(tmp_path / "a.xdf", first, face(1, begin=130.0), date=DATE)
    with Run(XdfSource(path), tiny_bundle) as run:
        assert next(iter(run)).t == 0
        assert run.source.began == BEGAN + datetime.timedelta(seconds=30)


def test_a_clock_that_was_not_measured_moves_nothing(tiny_bundle, tmp_path):
    other = Stream("clicker", 10.0 + np.arange(5), vectors(5, 3), offsets=False)
    path = write(tmp_path / "a.xdf", other, face(1, begin=130.0), date=DATE)
    with Run(XdfSource(path), tiny_bundle) as run:
        next(iter(run))
        assert run.source.began == BEGAN
