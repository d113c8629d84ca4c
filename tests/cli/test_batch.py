"""A function over many recordings: processes, errors, crashes, resumption."""

import json
import os
import threading
import time
from pathlib import Path

from enrapt.cli.batch import Result, Row, run_batch, summary_path
from enrapt.cli.recordings import Item
from tests.support.jobs import by_content, nothing


def make(folder: Path, **contents: str) -> list[Item]:
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [Item(folder / name, name) for name in contents]


def run(items: list[Item], folder: Path, jobs: int = 1, **settings: object) -> dict[str, Result]:
    results = list(run_batch(by_content, items, folder, settings, jobs, threading.Event(), lambda *_: None))
    assert len(results) == len(items)
    return {result.item.name: result for result in results}


def row(result: Result) -> Row:
    assert result.row is not None, result.error
    return result.row


def test_processes_live_on_between_recordings(tmp_path):
    results = run(make(tmp_path, a="1", b="2", c="3"), tmp_path / "out")
    assert [row(result)["text"] for result in results.values()] == ["1", "2", "3"]
    assert len({row(result)["process"] for result in results.values()} - {os.getpid()}) == 1


def test_several_at_a_time(tmp_path):
    items = make(tmp_path, a="sleep 1", b="sleep 1")
    results = run(items, tmp_path / "out", jobs=2)
    assert len({row(result)["process"] for result in results.values()}) == 2


def test_an_error_or_a_crash_of_one_does_not_stop_the_rest(tmp_path):
    items = make(tmp_path, a="crash", b="1", c="user", d="error", e="exit", f="2")
    results = run(items, tmp_path / "out")
    assert {name: result.error for name, result in results.items() if result.error} == {
        "a": "its process crashed (SIGSEGV)",
        "c": "is broken; mend it",
        "d": "ZeroDivisionError: a b",
        "e": "its process crashed (status 3)",
    }
    assert row(results["b"])["process"] != row(results["f"])["process"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"b.summary.json", "f.summary.json"}


def test_what_is_done_is_not_done_again(tmp_path):
    items = make(tmp_path, a="1", b="2", c="crash")
    first = run(items, tmp_path / "out", start=1.0, gap=float("inf"))
    assert not any(result.kept for result in first.values())
    again = run(items, tmp_path / "out", start=1.0, gap=float("inf"))
    assert {name for name, result in again.items() if result.kept} == {"a", "b"}
    assert again["a"].row == first["a"].row
    assert (tmp_path / "calls").read_text().split() == ["a", "b", "c", "c"]


def test_what_has_changed_is_done_again(tmp_path):
    items = make(tmp_path, a="1", b="2", c="3", d="4")
    out = tmp_path / "out"
    run(items, out)
    (tmp_path / "a").write_text("11")  # another size
    os.utime(tmp_path / "b", (1, 1))  # another time
    summary_path(out, items[2]).write_text("{")
    assert {name for name, result in run(items, out).items() if result.kept} == {"d"}
    assert not any(result.kept for result in run(items, out, bundle="another").values())


def test_a_summary_of_before_is_gone_when_its_recording_fails(tmp_path):
    items = make(tmp_path, a="1")
    run(items, tmp_path / "out")
    (tmp_path / "a").write_text("crash")
    run(items, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_session_is_done_again_when_a_file_in_it_has_changed(tmp_path):
    session = tmp_path / "session"
    session.mkdir()
    items = [Item(session, "session")]
    kept = []
    for content in ("1", "1", "22"):
        if not (file := session / "face.arrows").exists() or file.read_text() != content:
            file.write_text(content)
        results = list(run_batch(nothing, items, tmp_path, {}, 1, threading.Event(), lambda *_: None))
        kept.append(results[0].kept)
    assert kept == [False, True, False]


def test_it_reports_progress_and_stops_soon_without_what_runs(tmp_path):
    items = make(tmp_path, a="1", b="sleep 60", c="2")
    stop, shares, results = threading.Event(), [], []
    threading.Thread(target=_stop_when_started, args=(tmp_path / "b.started", stop)).start()
    began = time.monotonic()
    for result in run_batch(
        by_content,
        items,
        tmp_path / "out",
        {},
        1,
        stop,
        lambda item, share: shares.append((item.name, share)),
    ):
        results.append(result.item.name)
    assert time.monotonic() - began < 20
    assert results == ["a"]
    assert shares == [("a", 0.5), ("b", 0.5)]
    assert json.loads(summary_path(tmp_path / "out", items[0]).read_text())["text"] == "1"


def _stop_when_started(started: Path, stop: threading.Event) -> None:
    while not started.exists():
        time.sleep(0.05)
    time.sleep(0.1)
    stop.set()


def test_a_name_in_folders_makes_them(tmp_path):
    (item,) = make(tmp_path, a="1")
    run([Item(item.path, "x/y/a")], tmp_path / "out")
    assert (tmp_path / "out" / "x" / "y" / "a.summary.json").is_file()


def test_a_result_that_cannot_be_written_is_an_error_of_its_own(tmp_path):
    a, b = make(tmp_path, a="1", b="2")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").touch()
    results = run([Item(a.path, "x/a"), b], tmp_path / "out")
    assert "cannot be written" in results["x/a"].error
    assert row(results["b"])["text"] == "2"
