import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from enrapt.cli import view as module
from enrapt.cli.view import HISTORY, View
from enrapt.contracts.schemas import AUDIO, FACE, Schema
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.sources.source import Wanted
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import Observation
from enrapt.realtime.truth import Truth


def vector(schema: Schema, **values: float) -> np.ndarray:
    """Zeros but for these."""
    numbers = np.zeros(schema.dim, np.float32)
    for name, value in values.items():
        numbers[schema.index(name)] = value
    return numbers


FACE_SEEN = vector(
    FACE, yaw=-0.3, pitch=0.05, eyeLookOutLeft=0.6, eyeLookInRight=0.6, mouthSmileLeft=0.7, jawOpen=0.05
)
SEEN = Observation(0, 0, {"face": FACE_SEEN, "audio": vector(AUDIO, speech=0.8, level=-31.6)}, {})
NOTHING = Observation(0, 0, {"face": None, "audio": None}, {})


def estimate(tick: int, mean: float = 0.61, **view) -> Estimate:
    return Estimate(
        tick=tick,
        t=tick / 25,
        engagement=Engagement(mean, 0.08, 0.47, 0.74),
        present={"face": True, "audio": False},
        age_ms={"face": 12.1, "audio": None},
        surprise={"face": 3.1, "audio": None},
        latency_ms=Latency(0.07, 21.4, extract={"face": 5.2}),
        **view,
    )


def picture(view: View, width: int) -> list[str]:
    """The view as it stands on a terminal of that width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    view._console = console
    console.print(view._picture(*view._latest))
    return console.file.getvalue().splitlines()


def a_run(
    end: float | None = 20.0,
    start=0.0,
    counts=None,
    devices=None,
    schemas=None,
    keeps_media=False,
    missing=None,
    people=1,
):
    """Stands for a `Run`."""
    schemas = {"face": FACE.name, "audio": AUDIO.name} if schemas is None else schemas
    return SimpleNamespace(
        source=SimpleNamespace(
            name="clip.mp4",
            start=start,
            duration=end,
            devices=devices or {},
            keeps_media=keeps_media,
            people=people,
        ),
        rate=25,
        wanted=[Wanted(name, None, schema, 1, 1) for name, schema in schemas.items()],
        counts=counts or {},
        missing=missing or {},
    )


def a_view(*means: float, **options) -> View:
    view = View(a_run(**options))
    for tick, mean in enumerate(means):
        view.update(estimate(tick, mean), SEEN)
    return view


def test_the_picture_has_engagement_presence_and_latency():
    shown = "\n".join(picture(a_view(*[0.61] * 308), 80))
    for part in ("12.3 of 20.0 s", "clip.mp4", "0.61", "0.47–0.74", "● 12 ms old", "○ missing"):
        assert part in shown
    assert "extract face 5.2 ms   step 0.07 ms   total 21.4 ms" in shown
    assert "12 ms old   surprise 3.1 nats" in shown


def test_it_has_features_of_face_and_voice_and_what_was_dropped():
    counts = Counts()
    counts.drop("superseded", 12)
    view = View(a_run(counts={"face": counts, "audio": Counts()}))
    view.update(estimate(0), SEEN)
    shown = "\n".join(picture(view, 80))
    for part in ("yaw -17°   pitch +3°   roll +0°   gaze →", "mouthSmileLeft 0.7", "■■■■■■■■□□   -32 dBFS"):
        assert part in shown
    assert "jawOpen" not in shown  # too weak to be shown
    assert "face 12 superseded" in shown
    view.update(estimate(1), NOTHING)
    shown = [line.split() for line in picture(view, 80)]
    assert [line[-1] for line in shown if line and line[0] in ("head,", "expressions", "voice")] == ["–"] * 3


def test_features_are_found_by_schema_under_any_name_and_are_absent_without():
    view = View(a_run(schemas={"left": FACE.name, "voice": AUDIO.name}))
    values = {"left": FACE_SEEN, "voice": SEEN.values["audio"]}
    view.update(estimate(0), Observation(0, 0, values, {}))
    shown = "\n".join(picture(view, 80))
    assert "yaw -17°" in shown
    assert "-32 dBFS" in shown
    view = View(a_run(schemas={"heart": None}))
    view.update(estimate(0), Observation(0, 0, {"heart": np.ones(2, np.float32)}, {}))
    assert "dBFS" not in "\n".join(picture(view, 80))


def test_open_devices_are_always_named_and_kept_media_too():
    devices = {
        "camera": SimpleNamespace(lost=False, format="640×480", material="pictures"),
        "microphone": SimpleNamespace(lost=True, format="16 kHz", material="sound"),
        "gaze": SimpleNamespace(lost=False, format="3 numbers", material=None),
    }
    shown = picture(a_view(0.5, end=None, devices=devices), 120)[0]
    assert shown.startswith("● live")
    assert "camera 640×480; microphone 16 kHz (lost); gaze 3 numbers" in shown
    assert "KEPT" not in shown
    shown = picture(a_view(0.5, end=None, devices=devices, keeps_media=True), 150)[0]
    assert "; PICTURES AND SOUND ARE KEPT" in shown
    del devices["camera"]
    assert "; SOUND IS KEPT" in picture(a_view(0.5, end=None, devices=devices, keeps_media=True), 150)[0]


LATE = {"audio": "arrives 640 ms late; try --max-wait 700"}


def test_it_says_why_a_modality_is_missing():
    lines = picture(a_view(0.5, missing=LATE), 80)
    row = next(i for i, line in enumerate(lines) if line.startswith("audio"))
    assert lines[row].split() == ["audio", "○", "missing"]
    assert lines[row + 1].strip() == LATE["audio"]
    lines = picture(a_view(0.5, missing=LATE), 36)  # all of it in a narrow window, too
    assert " ".join(line.strip() for line in lines[row + 1 : row + 3]) == LATE["audio"]


def test_a_voice_beyond_its_scale_does_not_leave_its_meter():
    loud = Observation(0, 0, {"face": None, "audio": vector(AUDIO, speech=538)}, {})
    view = View(a_run())
    view.update(estimate(0), loud)
    assert "■" * 10 + "   0 dBFS" in "\n".join(picture(view, 80))


@pytest.mark.parametrize("width", [20, 36, 60, 80, 250])
def test_it_fits_any_window(width):
    lines = picture(a_view(*[0.61] * 2000), width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 10


def test_mean_and_interval_are_where_they_belong_on_the_scale():
    scale = next(line for line in picture(a_view(0.61), 130) if "━" in line)
    scale = scale[scale.index("─") : scale.rindex("─") + 1]
    assert len(scale) == 100
    assert scale.index("●") == 61
    assert (scale.index("━"), scale.rindex("━")) == (47, 73)


def test_the_sparkline_holds_the_last_minute():
    view = a_view(*[0.0] * 25 * HISTORY, *[1.0] * 25 * (HISTORY // 2))
    assert view._sparkline(10) == "▁▁▁▁▁█████"
    assert a_view(*[0.0] * 25 * (HISTORY // 10))._sparkline(10) == "▁"


def test_a_recording_of_unknown_length_has_no_bar():
    assert len(picture(a_view(0.5, end=None), 80)) == 9


def test_off_a_terminal_it_writes_a_line_now_and_then(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    with View(a_run()) as view:
        for tick in range(251):
            now = tick / 25 / 2  # twice as fast as the clock
            view.update(estimate(tick), SEEN)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ("10.0 of 20.0 s, 2.0× real time: engagement 0.61 (0.47–0.74), present: face\n")


def test_off_a_terminal_the_line_says_why_a_modality_is_missing():
    line = View(a_run(missing=LATE))._line(estimate(0))
    assert line.endswith("present: face; audio missing: arrives 640 ms late; try --max-wait 700")


def test_drawing_is_rare_however_fast_the_estimates_come(monkeypatch):
    monkeypatch.setattr(module.StyledConsole, "is_terminal", True)
    drawn = 0
    now = 0.0

    def draw(self: View, estimate: Estimate, seen: Observation) -> str:
        nonlocal drawn
        drawn += 1
        return ""

    monkeypatch.setattr(View, "_picture", draw)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    with View(a_run()) as view:
        for tick in range(10_000):
            now = tick / 1000  # ten seconds
            view.update(estimate(tick), SEEN)
    assert 90 <= drawn <= 101


def test_it_says_who_is_followed_where_there_is_a_choice():
    for view, said in (
        ({"faces": 2, "person": 1}, "● 12 ms old   surprise 3.1 nats   person 1, 2 faces in view"),
        ({"faces": 1, "person": 3}, "nats   person 3, 1 face in view"),
        ({"faces": 2, "person": None}, "nats   nobody, 2 faces in view"),
        ({"faces": 1, "person": 1}, "surprise 3.1 nats"),
        ({"faces": 0, "person": None}, "surprise 3.1 nats"),
        ({}, "surprise 3.1 nats"),
    ):
        shown = View(a_run())
        shown.update(estimate(0, **view), SEEN)
        lines = [line.rstrip() for line in picture(shown, 80)]
        assert len(lines) == 10
        assert next(line for line in lines if line.startswith("face")).endswith(said)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.62, 1.0])
def test_what_is_known_is_below_the_estimate_on_the_same_scale(value):
    view = View(a_run(), Truth("simulated truth", [0.0], [value]))
    view.update(estimate(0, value), SEEN)
    lines = picture(view, 80)
    at = next(k for k, line in enumerate(lines) if line.startswith("engagement"))
    assert lines[at + 1].startswith("truth")
    assert f"{value:.2f}" in lines[at + 1]
    assert lines[at + 1].index("▲") == lines[at].index("●")
    assert "simulated truth" in lines[at + 1]
    assert f"; simulated truth {value:.2f}" in view._line(view._latest[0])


def test_several_people_have_two_lines_each():
    view = View(a_run(people=2))
    view.update(estimate(0), SEEN)  # nobody yet
    for tick in (1, 2):
        view.update(estimate(tick, 0.25, faces=2, person=2), SEEN)
        view.update(estimate(tick, 0.75, faces=2, person=1, face_problem="too small"), SEEN)
    lines = picture(view, 60)
    assert all(len(line) <= 60 for line in lines)
    assert [line.split()[:3] for line in lines[2:6]] == [
        ["person", "1", "0.75"],
        ["●", "face", "○"],
        ["person", "2", "0.25"],
        ["●", "face", "○"],
    ]
    assert lines[3].rstrip().endswith("too small")
    assert view._line(view._latest[0]).endswith(
        "person 1 0.75 (0.47–0.74), present: face; person 2 0.25 (0.47–0.74), present: face"
    )
    view.update(estimate(4, 0.5, faces=1, person=1), SEEN)  # nothing of the other one any more
    assert "person 2" not in "\n".join(picture(view, 60))
