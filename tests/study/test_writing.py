"""study/writing.py: what is written for ELAN is read back; CSV has a row a tick; media are linked."""

import csv
import json
import stat

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime.store.reader import SessionReader
from enrapt.study.labels import read
from enrapt.study.readers.eaf import number, read_eaf
from enrapt.study.readers.xml import read_xml
from enrapt.study.writing import write_labels
from tests.support.session_rows import three_batches
from tests.support.study_files import rate, rate_turns, session


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def rated(tmp_path):
    folder = session(tmp_path / "one", 10)
    rate(folder, "anna", [0, 2, 4.5, 6], [0.25, 0.5, np.nan, 0.75])
    rate_turns(folder, "ben", [(1.5, 3.25, 2), (7, 9, 3)], "turn")
    return folder


def test_labels_for_elan_are_read_back(rated, tmp_path):
    lines = write_labels(rated, tmp_path / "out.eaf")
    assert lines == ["engagement.anna: 5 annotations", "turn.ben: 2 annotations"]
    trace, turns = read_eaf(tmp_path / "out.eaf")
    assert (turns.start.tolist(), turns.end.tolist(), turns.text) == ([1.5, 7], [3.25, 9], ["2", "3"])
    assert [number(text) for text in trace.text] == [0.25, 0.25, 0.5, 0.5, 0.5]
    assert trace.start.tolist() == [0, 1, 2, 3, 4]
    assert stat.S_IMODE((tmp_path / "out.eaf").stat().st_mode) == 0o600


def test_estimates_and_the_film_are_in_it(tmp_path):
    folder, _ = three_batches(tmp_path / "one")
    (folder / "media.mkv").write_bytes(b"")
    write_labels(folder, tmp_path / "out.eaf")
    tier, marks = read_eaf(tmp_path / "out.eaf")
    assert tier.name.startswith("estimate")
    assert marks.name == "marks"
    assert set(tier.text) == {"0.612"}
    link = read_xml(tmp_path / "out.eaf").find("HEADER/MEDIA_DESCRIPTOR")
    assert link.get("RELATIVE_MEDIA_URL") == "./one/media.mkv"
    assert link.get("MEDIA_URL") == (folder / "media.mkv").as_uri()
    write_labels(folder, tmp_path / "other.eaf", media=tmp_path / "film.mp4")
    link = read_xml(tmp_path / "other.eaf").find("HEADER/MEDIA_DESCRIPTOR")
    assert (link.get("RELATIVE_MEDIA_URL"), link.get("MIME_TYPE")) == ("./film.mp4", "video/mp4")


def test_a_table_has_a_row_for_each_tick(rated, tmp_path):
    write_labels(rated, tmp_path / "out.csv")
    rows = table(tmp_path / "out.csv")
    assert list(rows[0]) == ["t", "wall_clock", "marks", "engagement.anna", "turn.ben"]
    by_time = {float(row["t"]): row for row in rows}
    assert (by_time[2.0]["engagement.anna"], by_time[2.0]["turn.ben"]) == ("0.5", "2.0")
    assert (by_time[5.0]["engagement.anna"], by_time[5.0]["turn.ben"]) == ("", "")
    folder, _ = three_batches(tmp_path / "two")
    rate(folder, "anna", [0, 1], [0.5, 0.5])
    write_labels(folder, tmp_path / "two.csv")
    rows = table(tmp_path / "two.csv")
    assert len(rows) == 52
    columns = ("t", "engagement_mean", "engagement.anna")
    assert [rows[10][name] for name in columns] == ["0.4", "0.6123", "0.5"]
    assert rows[-1]["engagement.anna"] == ""


def test_the_wall_clock_and_marks_are_in_all_of_them(tmp_path):
    folder, _ = three_batches(tmp_path / "one")
    path = folder / "session.json"
    content = json.loads(path.read_text()) | {"started": "2026-03-01T09:59:59.900+00:00"}
    content["description"]["started_by"] = "clock"
    path.write_text(json.dumps(content))
    marks = list(SessionReader(folder).marks())
    assert marks
    rated = rate(folder, "anna", [0, 0.5], [0.5, 0.5])
    assert rated.read_text().splitlines() == [
        "time,value,wall_clock",
        "0.0,0.5,2026-03-01T09:59:59.900+00:00",
        "0.5,0.5,2026-03-01T10:00:00.400+00:00",
    ]
    assert read(rated).values.tolist() == [0.5, 0.5]
    write_labels(folder, tmp_path / "out.csv")
    rows = table(tmp_path / "out.csv")
    assert rows[1]["wall_clock"] == "2026-03-01T09:59:59.940+00:00"
    assert "; ".join(row["marks"] for row in rows if row["marks"]) == "; ".join(label for _, label in marks)
    write_labels(folder, tmp_path / "out.eaf")
    document = read_xml(tmp_path / "out.eaf")
    assert document.find("HEADER/PROPERTY[@NAME='started']").text == "2026-03-01T09:59:59.900+00:00"
    (tier,) = [tier for tier in read_eaf(tmp_path / "out.eaf") if tier.name == "marks"]
    assert "; ".join(tier.text) == "; ".join(label for _, label in marks)
    draw = ["plot", str(folder), "-o", str(tmp_path / "page.html")]
    assert main(draw) == 0
    assert '"began":"2026-03-01T09:59:59.900+00:00"' in (tmp_path / "page.html").read_text()


def test_nothing_is_overwritten_and_nothing_to_write_is_said(rated, tmp_path):
    (tmp_path / "out.csv").write_text("kept")
    with pytest.raises(UserError, match="exists and is kept"):
        write_labels(rated, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "kept"
    write_labels(rated, tmp_path / "out.csv", overwrite=True)
    with pytest.raises(UserError, match=r"ends in \.eaf or \.csv"):
        write_labels(rated, tmp_path / "out.txt")
    with pytest.raises(UserError, match="neither estimates nor labels"):
        write_labels(session(tmp_path / "bare", 1), tmp_path / "bare.csv")
    empty = session(tmp_path / "empty", 1)
    rate(empty, "anna", [0, 1], [np.nan, np.nan])
    with pytest.raises(UserError, match="neither estimates nor labels"):
        write_labels(empty, tmp_path / "empty.csv")
