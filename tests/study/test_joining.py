"""study/joining.py: sessions of two machines on one axis, by the clock that both followed."""

import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime import LiveSession
from enrapt.realtime.store.group import read_group
from enrapt.study.joining import followed, join
from tests.support.devices import FakeDevice
from tests.support.lsl_loopback import FEATURES, LOOPBACK, Outlets
from tests.support.study_files import session


def follow(
    folder: Path, start: float, drift: float = 0.0, seconds: float = 600.0, host: str = "lab", off=None
):
    """The `clock.csv` of a session; round trips that are not symmetric make some measurements late."""
    rng = np.random.default_rng(len(str(folder)))
    t = np.arange(0.5, seconds, 2.0)
    reference = start + (1 + drift) * t + rng.normal(0, 2e-4, len(t)) + (rng.random(len(t)) < 0.05) * 0.03
    if off is not None:
        reference += off(t)
    rows = [f"{a:.6f},{b:.6f},{host}\n" for a, b in zip(t, reference, strict=True)]
    (folder / "clock.csv").write_text("time,reference,host\n" + "".join(rows))
    return folder


@pytest.fixture
def pair(tmp_path):
    for name in ("anna", "ben"):
        session(tmp_path / "pair" / name, 10)
    return tmp_path / "pair"


def test_offset_and_drift_are_found_to_a_millisecond(pair):
    follow(pair / "anna", 5000.0, 20e-6)
    follow(pair / "ben", 4990.25, -30e-6)
    join(pair)
    anna, ben = read_group(pair).people
    for t in (0.0, 300.0, 600.0):
        assert anna.common(t) == pytest.approx(9.75 + (1 + 20e-6) * t, abs=0.001)
        assert ben.common(t) == pytest.approx((1 - 30e-6) * t, abs=0.001)
    assert ben.offset == 0


def test_a_short_session_has_an_offset_only_and_a_cut_line_is_left_out(pair):
    path = follow(pair / "anna", 100.0, seconds=12.0) / "clock.csv"
    path.write_text(path.read_text() + "12.5,11")
    found = followed(pair / "anna")
    assert (found.drift, found.measured, found.host) == (0.0, 6, "lab")
    assert found.start == pytest.approx(100.0, abs=0.001)


def test_pictures_lists_and_tables_have_the_common_axis(pair, capsys, tmp_path):
    follow(pair / "anna", 100.0)
    follow(pair / "ben", 103.0)
    assert main(["study", "join", str(pair)]) == 0
    out = capsys.readouterr().out
    assert "ben: begins at 3.0" in out
    assert "300 comparisons with the clock of lab" in out
    assert main(["inspect", str(pair), "--json"]) == 0
    starts = [part["start"] for part in json.loads(capsys.readouterr().out)["parts"]]
    assert starts[1] - starts[0] == pytest.approx(3.0, abs=0.001)
    assert main(["features", str(pair), "-o", str(tmp_path / "pair.csv")]) == 0
    with (tmp_path / "pair.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["tick"] == "25"]
    assert [(row["person"], row["group"], row["time"]) for row in rows] == [
        ("anna", "pair", "1"), ("ben", "pair", "1")
    ]  # fmt: skip
    assert [float(row["group_time"]) for row in rows] == pytest.approx([1.0, 4.0], abs=0.001)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda pair: follow(pair / "ben", 0.0, host="other"),
            "followed the clocks of lab and other, not of one",
        ),
        (lambda pair: (pair / "ben" / "clock.csv").unlink(), "ben: has followed no clock: record on each"),
        (lambda pair: (pair / "ben" / "clock.csv").write_text("a,b\n1,2\n"), "damaged"),
        (lambda pair: (pair / "ben" / "clock.csv").write_text(""), "damaged"),
        (lambda pair: (pair / "ben" / "clock.csv").write_text("time,reference,host\nnan,1,lab\n"), "damaged"),
        (lambda pair: follow(pair / "ben", 0.0, off=lambda t: (t > 300) * 5.0), "started again"),
        (lambda pair: (pair / "ben").rename(pair / "b n"), "'b n' cannot be a person's name"),
        (lambda pair: (pair / "ben").rename(pair.parent / "ben"), "put the session of each person into it"),
        (lambda pair: (pair / "group.json").write_text("{}"), "exists and is kept"),
        (lambda pair: pair.rename(pair.with_name("gone")), "cannot be read"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_one_line(pair, change, says):
    for name in ("anna", "ben"):
        follow(pair / name, 100.0)
    change(pair)
    before = sorted(pair.rglob("*"))
    with pytest.raises(UserError, match=says) as raised:
        join(pair)
    assert "\n" not in str(raised.value)
    assert sorted(pair.rglob("*")) == before


@pytest.mark.live
def test_two_sessions_that_follow_a_stream_are_joined(tiny_bundle, tmp_path, monkeypatch):
    configuration = tmp_path / "lsl_api.cfg"
    configuration.write_text(LOOPBACK)
    monkeypatch.setenv("LSLAPICFG", str(configuration))
    name = f"clock {os.getpid()}"
    with Outlets() as outlets:
        outlets(FEATURES, name=name, channels=1)
        sessions = {
            person: LiveSession(
                None,
                None,
                devices=[FakeDevice()],
                bundle=tiny_bundle,
                record=tmp_path / "pair" / person,
                clock=f"lsl:{name}",
            )
            for person in ("anna", "ben")
        }
        for session in sessions.values():
            session.__enter__()
            session.start(lambda estimate: None)
            time.sleep(0.7)
        deadline = time.monotonic() + 15
        while not all(session.recorder.clock.rows for session in sessions.values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for session in sessions.values():
            session.__exit__(None, None, None)
    join(tmp_path / "pair")
    anna, ben = read_group(tmp_path / "pair").people
    zero = {person: session.source.zero / 1e9 for person, session in sessions.items()}
    assert anna.offset == 0
    assert ben.offset == pytest.approx(zero["ben"] - zero["anna"], abs=0.002)


@pytest.mark.live
def test_without_the_stream_a_line_says_so(tiny_bundle, tmp_path, monkeypatch):
    configuration = tmp_path / "lsl_api.cfg"
    configuration.write_text(LOOPBACK)
    monkeypatch.setenv("LSLAPICFG", str(configuration))
    said: list[str] = []
    folder = tmp_path / "anna"
    options = {"devices": [FakeDevice()], "bundle": tiny_bundle, "record": folder, "warn": said.append}
    with LiveSession(None, None, clock="lsl:nobody's", **options) as session:
        for estimate in session:
            if estimate.tick == 3:
                break
    assert said == ["--clock lsl:nobody's: no such stream was found: it cannot be joined"]
    assert not (folder / "clock.csv").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"clock": "lsl:"}, "give lsl:NAME"),
        ({"clock": "a"}, "give lsl:NAME"),
        ({"record": None}, "is recorded"),
    ],
)
def test_a_clock_that_cannot_be_followed_leaves_nothing(options, says, tiny_bundle, tmp_path):
    given = {"clock": "lsl:x", "record": tmp_path / "anna"} | options
    with pytest.raises(UserError, match=says):
        LiveSession(None, None, devices=[FakeDevice()], bundle=tiny_bundle, **given).__enter__()
    assert not list(tmp_path.iterdir())
