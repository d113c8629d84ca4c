"""Options of the command line on their way to sources and runs, and what a replay says that it will do."""

import argparse
import math
from typing import ClassVar

import pytest

from enrapt.cli.arguments import at_least_one, offsets_of, seconds
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime.sources.source import Source
from enrapt.realtime.streams.axis import Segment
from enrapt.realtime.streams.samples import SECOND


class Stub(Source):
    """A source of audio that gives nothing, and keeps what it was opened with."""

    name = "stub"
    start, duration = 2.0, 12.0
    taken: ClassVar = {"audio": "audio 2: aac, 48000 Hz, stereo"}
    segments = (Segment(0, 0), Segment(5 * SECOND, 0, "step back"))

    def __init__(self, path, **options):
        self.options = options

    def offers(self, inputs):
        from enrapt.realtime.sources.offer import SOUND

        return [SOUND]

    def open(self, wanted, rate):
        self.wanted = {w.name: w for w in wanted}

    def __iter__(self):
        return iter(())


@pytest.fixture
def opened(monkeypatch):
    """The sources that a command opens."""
    sources = []

    def open_source(path, *, faces, **options):
        sources.append(Stub(path, **options))
        return sources[-1]

    monkeypatch.setattr("enrapt.realtime.sources.files.open_source", open_source)
    return sources


def test_options_reach_the_source_only_if_they_are_given(opened, tiny_bundle, tmp_path):
    path = str(tmp_path / "a.mkv")
    replay = ["replay", path, "--bundle", str(tiny_bundle)]
    assert main(replay) == 0
    assert main([*replay, "--max-gap", "inf", "--strict", "--video-track", "2", "--audio-track", "3"]) == 0
    assert main([*replay, "--audio-channel", "1", "--start", "2", "--offset", "audio=-0.25"]) == 0
    first, second, third = opened
    assert first.options == {}
    assert second.options == {"max_gap": math.inf, "strict": True, "video_track": 2, "audio_track": 3}
    assert third.options == {"audio_channel": 1, "start": 2.0}
    assert (first.wanted["audio"].offset, third.wanted["audio"].offset) == (0, -SECOND // 4)


def test_it_says_first_what_it_will_do_and_at_the_end_how_time_was_repaired(opened, tiny_bundle, capsys):
    assert main(["replay", "a.mkv", "--bundle", str(tiny_bundle)]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "replay: stub, 2.0 to 12.0 s, about 251 ticks",
        "audio from audio 2: aac, 48000 Hz, stereo; face missing",
    ]
    assert "time repaired\n  at 5.00 s times start again" in shown.out


@pytest.mark.parametrize("duration", [None, math.inf])
def test_an_unknown_duration(opened, tiny_bundle, capsys, monkeypatch, duration):
    monkeypatch.setattr(Stub, "duration", duration)
    monkeypatch.setattr(Stub, "taken", {})
    assert main(["replay", "a.mkv", "--bundle", str(tiny_bundle)]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "replay: stub, of unknown duration"


def test_an_offset_of_what_is_not_there(opened, tiny_bundle, capsys):
    assert main(["replay", "a.mkv", "--bundle", str(tiny_bundle), "--offset", "face=1"]) == 2
    assert capsys.readouterr().err == "enrapt: --offset face: give one of audio\n"


def test_offsets():
    assert offsets_of(argparse.Namespace(offset=[])) is None
    assert offsets_of(argparse.Namespace(offset=["face=-0.5"])) == {"face": -0.5}


@pytest.mark.parametrize(
    "offsets", [["face"], ["=1"], ["face=soon"], ["face=nan"], ["face=inf"], ["a=1", "a=2"]]
)
def test_offsets_that_are_none(offsets):
    with pytest.raises(UserError, match="give MODALITY=SECONDS, each modality once"):
        offsets_of(argparse.Namespace(offset=offsets))


def test_numbers():
    assert (at_least_one("2"), seconds("0"), seconds("1.5"), seconds("inf")) == (2, 0, 1.5, math.inf)
    for kind, text in ((at_least_one, "0"), (at_least_one, "²"), (at_least_one, "-1"), (seconds, "-1")):
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)
    for text in ("nan", "soon"):
        with pytest.raises(argparse.ArgumentTypeError):
            seconds(text)
