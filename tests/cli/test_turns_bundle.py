"""The bundle `turns`: what it says of itself, and a stereo recording of two people from end to end."""

import json

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle, find_bundle
from enrapt.realtime.engine.engine import Engine
from tests.support.dialogue import needs_voices, speech, stereo

SECONDS = 20.0
OWN, PARTNER = [(0.5, 6.0), (12.0, 19.0)], [(7.0, 11.0)]


def test_it_says_whom_it_is_of():
    found = Bundle.load("turns").metadata
    assert (found.name, found.model, found.rate, found.licence) == ("turns", "ensemble", 2, "MIT")
    assert [(m.name, m.dim, m.schema) for m in found.inputs] == [
        ("own", 1, "speaking/1"),
        ("partner", 1, "speaking/1"),
    ]
    for text in ("38 people of CONVERSE", "MIT", "Swedish", "one annotator", "not for judging people"):
        assert text in found.training_data.limits
    assert "no human" not in found.training_data.limits
    assert find_bundle("turns").stat().st_size < 2e6


def test_either_speaker_may_be_missing_and_values_may_be_any():
    engine = Engine(Bundle.load("turns"))
    rng = np.random.default_rng(0)
    for tick in range(300):
        heard = {
            name: None if rng.random() < 0.3 else np.array([rng.choice([0, 1, 0.5, -3e38, 3e38])], np.float32)
            for name in ("own", "partner")
        }
        step = engine.step({} if tick % 50 == 0 else heard)
        assert 0 < step.low < step.mean < step.high < 1


@needs_voices
def test_a_stereo_recording_is_replayed(command, tmp_path):
    recording = stereo(tmp_path / "talk.wav", speech(OWN, SECONDS), speech(PARTNER, SECONDS, "sv"))

    def replayed(name, *options):
        to = ("--to", f"jsonl:{name}.jsonl", "--no-timing")
        done = command("replay", recording, "--bundle", "turns", *options, *to)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]

    right, left = (replayed(side, "--partner-channel", side) for side in ("right", "left"))
    mono = replayed("mono")
    for lines in (right, left, mono):
        assert len(lines) == pytest.approx(2 * SECONDS, abs=1)
        for line in lines:
            found = line["engagement"]
            assert 0 < found["low"] < found["mean"] < found["high"] < 1
    assert all(line["present"] == {"own": True, "partner": True} for line in right[1:])
    assert all(line["present"] == {"own": True, "partner": False} for line in mono[1:])
    means = [np.array([line["engagement"]["mean"] for line in lines]) for lines in (right, left, mono)]
    assert np.abs(means[0] - means[1]).max() > 0.02  # whose engagement it is
    assert np.abs(means[0] - means[2]).max() > 0.01
