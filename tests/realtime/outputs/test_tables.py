"""CSV and Parquet have the values of the JSON Lines, read with pandas or pyarrow."""

import datetime
import json
import random
import re
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs, parquet
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.store.estimates_file import read_estimates
from enrapt.realtime.streams.samples import Observation
from tests.support.full_disk import files_no_larger_than, needs_limits

SEEN = Observation(0, 0, {}, {})
UNITS = {
    "tick": "1", "t_s": "s", "wall_clock": None, "marks": None,
    **dict.fromkeys(("engagement_mean", "engagement_std", "engagement_low", "engagement_high"), "0..1"),
    **dict.fromkeys(("face_present", "audio_present"), "0 or 1"),
    **dict.fromkeys(("face_age_ms", "audio_age_ms"), "ms"),
    **dict.fromkeys(("face_surprise_nats", "audio_surprise_nats"), "nats"),
    **dict.fromkeys(("faces", "person"), "1"),
    **dict.fromkeys(("face_left", "face_top", "face_width", "face_height", "face_quality"), "0..1"),
    "face_problem": None,
    **dict.fromkeys(("latency_step_ms", "latency_total_ms", "latency_tick_ms"), "ms"),
    **dict.fromkeys(("face_extract_ms", "face_wait_ms", "audio_extract_ms", "audio_wait_ms"), "ms"),
}  # fmt: skip


STAMP = ("wall_clock", "marks")
SIDES = ("face_left", "face_top", "face_width", "face_height")
TIMING = re.compile("^latency|_(extract|wait)_ms$")


def estimate(tick: int) -> Estimate:
    """One of a live session in which modalities come and go."""
    there = random.Random(tick)
    seen = {modality: there.random() < 0.7 for modality in ("face", "audio")}
    drawn = {modality: round(there.gauss(0, 30), 3) if here else None for modality, here in seen.items()}
    waits = {modality: round(there.expovariate(0.1), 3) for modality, here in seen.items() if here}
    extract = {modality: 5.25 for modality in seen if there.random() < 0.5}
    return Estimate(
        tick,
        round(tick / 25, 6),
        Engagement(*(round(there.random(), 4) for _ in range(4))),
        seen,
        {modality: None if x is None else round(abs(x), 1) for modality, x in drawn.items()},
        drawn,
        Latency(0.071, drawn["audio"], 21.25, extract, waits),
        *view(there),
    )


def view(there: random.Random) -> tuple[object, ...]:
    """Faces, person, box, quality and problem: no picture, nobody, a good face or a bad one."""
    box = tuple(round(there.random(), 4) for _ in range(4))
    return there.choice(
        [
            (None, None, None, None, None),
            (0, 1, None, None, None),
            (2, 1, box, 0.5, None),
            (1, 2, box, 0.0, "partly out of view"),
        ]
    )


def written(folder, estimates) -> None:
    to = [f"{kind}:{folder / f'out.{kind}'}" for kind in ("jsonl", "csv", "parquet")]
    with Outputs(to, live=False, warn=pytest.fail) as outputs:
        for e in estimates:
            outputs.write(e, SEEN)
            outputs.mark(e.t, "smiles")


def expected_table(folder) -> pd.DataFrame:
    """The JSON Lines as a table."""
    rows = []
    for line in (folder / "out.jsonl").read_text().splitlines():
        e = json.loads(line)
        latency = e.get("latency_ms", {})
        waits, extract = latency.pop("waits", {}), latency.pop("extract", {})
        stages = dict.fromkeys(("step", "total", "tick")) | latency if latency else {}
        rows.append(
            {"tick": e["tick"], "t_s": e["t"]}
            | {f"engagement_{name}": x for name, x in e["engagement"].items()}
            | {f"{m}_present": here for m, here in e["present"].items()}
            | {f"{m}_age_ms": x for m, x in e["age_ms"].items()}
            | {f"{m}_surprise_nats": x for m, x in e["surprise"].items()}
            | {name: e[name] for name in ("faces", "person", "face_quality", "face_problem")}
            | dict(zip(SIDES, e["box"] or [None] * 4, strict=True))
            | {f"latency_{stage}_ms": x for stage, x in stages.items()}
            | ({f"{m}_extract_ms": extract.get(m) for m in e["present"]} if latency else {})
            | ({f"{m}_wait_ms": waits.get(m) for m in e["present"]} if latency else {})
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("timing", [True, False])
@pytest.mark.parametrize("group", [parquet._GROUP, 7])
def test_parquet_and_csv_have_the_values_of_json_lines(tmp_path, monkeypatch, timing, group):
    monkeypatch.setattr(parquet, "_GROUP", group)
    estimates = [estimate(tick) for tick in range(100)]
    written(tmp_path, estimates if timing else [e.without_timing() for e in estimates])
    expected = expected_table(tmp_path)
    assert expected.isna().sum().sum() > 50  # there is something to get wrong
    columns = [name for name in UNITS if (timing or not TIMING.search(name)) and name not in STAMP]
    assert set(expected) == set(columns)
    for found in (pd.read_parquet(tmp_path / "out.parquet"), pd.read_csv(tmp_path / "out.csv")):
        pd.testing.assert_frame_equal(
            found[columns], expected[columns], check_dtype=False, check_exact=True, check_like=True
        )
    assert pq.read_metadata(tmp_path / "out.parquet").num_row_groups == -(-100 // group)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.parquet"]
    header = (tmp_path / "out.csv").read_text().splitlines()[0].split(",")
    assert pq.read_schema(tmp_path / "out.parquet").names == header


def test_the_schema_has_units_and_types(tmp_path):
    written(tmp_path, [estimate(0)])
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert {f.name: (f.metadata or {}).get(b"unit", b"").decode() or None for f in schema} == UNITS
    kinds = {f.name: str(f.type) for f in schema}
    assert {kinds.pop(name) for name in ("tick", "faces", "person")} == {"int64"}
    assert kinds.pop("face_problem") == kinds.pop("marks") == "string"
    assert kinds.pop("wall_clock") == "timestamp[us, tz=UTC]"
    assert {kinds.pop("face_present"), kinds.pop("audio_present")} == {"bool"}
    assert set(kinds.values()) == {"double"}
    assert {f.name for f in schema if not f.nullable} == {
        "tick", "t_s", "engagement_mean", "engagement_std", "engagement_low", "engagement_high",
        "face_present", "audio_present",
    }  # fmt: skip


def test_wall_clock_and_marks_are_read_back(tmp_path):
    began = datetime.datetime(2026, 3, 1, 9, tzinfo=datetime.UTC)
    stamped = [estimate(0).stamped(began, ["smiles"]), estimate(1).stamped(began, [])]
    written(tmp_path, stamped)
    assert read_estimates(tmp_path / "out.parquet") == stamped
    assert pd.read_parquet(tmp_path / "out.parquet")["wall_clock"][0] == began


def test_without_an_estimate_it_is_an_empty_table(tmp_path):
    written(tmp_path, [])
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_until_the_end_it_is_a_part_which_after_a_failure_can_be_read(tmp_path):
    output = destination(f"parquet:{tmp_path / 'out.parquet'}").open()
    for tick in range(10):
        output.write(estimate(tick), SEEN)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet.part"]
    output.close(False)
    output.close(True)  # too late
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet.part"]
    assert pq.read_table(tmp_path / "out.parquet.part")["tick"].to_pylist() == list(range(10))


def test_stopped_before_the_first_estimate_what_was_there_stays(tmp_path):
    path = tmp_path / "out.parquet"
    path.write_text("of yesterday")
    with pytest.raises(KeyboardInterrupt), Outputs([f"parquet:{path}"], live=False, warn=lambda _: None):
        raise KeyboardInterrupt
    assert path.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("parquet:", "parquet:FILE"),
        ("parquet:.", "is a folder"),
        ("parquet:-", "cannot be written to a stream"),
        ("parquet:/dev/null", "cannot be written to a stream"),
        ("parquet:no/such/folder/out.parquet", "No such file or directory"),
    ],
)
def test_an_impossible_file_is_refused_at_once(tmp_path, monkeypatch, address, complaint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        Outputs([address], live=True, warn=pytest.fail)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@needs_limits
def test_a_full_disk_is_reported_and_leaves_no_file_under_the_name(tmp_path):
    output = destination(f"parquet:{tmp_path / 'out.parquet'}").open()
    for tick in range(10):
        output.write(estimate(tick), SEEN)
    with files_no_larger_than(100), pytest.raises(UserError, match="File too large"):
        output.close(True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet.part"]


@pytest.mark.parametrize(
    ("module", "address", "extra"),
    [
        ("pyarrow", "parquet:out.parquet", "record"),
        ("pylsl", "lsl:", "lsl"),
        ("pythonosc", "osc://127.0.0.1:9/x", "osc"),
        ("paho", "mqtt://127.0.0.1/x", "mqtt"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(module, address, extra):
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from enrapt.contracts.errors import UserError\n"
        "from enrapt.realtime.outputs import Outputs\n"
        "try:\n"
        f"    Outputs([{address!r}], live=True, warn=print)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.endswith(f"pip install 'enrapt[{extra}]'\n")
    assert done.stdout.count("\n") == 1


def test_an_output_imports_no_package_of_another():
    program = (
        "import sys\n"
        "from enrapt.realtime.outputs import Outputs\n"
        "Outputs(['jsonl:/dev/null'], live=False, warn=print)\n"
        "print(*sys.modules.keys() & {'pylsl', 'pythonosc', 'paho', 'pyarrow', 'pandas'})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "\n"
