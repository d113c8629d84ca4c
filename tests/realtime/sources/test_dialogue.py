"""Who speaks when, of two people: a stereo recording, features pushed from Python, and a stream."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import SPEAKING
from enrapt.realtime.features.speaking import SpeakingFeatures
from enrapt.realtime.run import Run
from enrapt.realtime.session import LiveSession
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.microphone import MicrophoneAudio
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.sources.source import match
from enrapt.realtime.streams.samples import SECOND, Sound
from tests.support.bundles import make_bundle
from tests.support.dialogue import RATE, needs_voices, speech, stereo
from tests.support.pulse import MICROPHONE, Pulse

pytestmark = pytest.mark.live

OWN, PARTNER = [(0.5, 2.5), (6.0, 7.0)], [(3.0, 5.5)]
SECONDS = 8.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "two.onnx"
    return make_bundle(path, [("own", 1, SPEAKING.name, 1.0), ("partner", 1, SPEAKING.name, 1.0)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    left, right = speech(OWN, SECONDS), speech(PARTNER, SECONDS, "sv")
    return stereo(tmp_path_factory.mktemp("talk") / "talk.wav", left, right)


def activity(source: MediaSource, bundle: Path) -> dict[str, np.ndarray]:
    """What each observation has, `[T]`; NaN where missing."""
    metadata = Bundle.load(bundle).metadata
    source.open(match(source, metadata), metadata.rate)
    found: dict[str, list[float]] = {"own": [], "partner": []}
    for observation in source:
        for name, column in found.items():
            value = observation.values.get(name)
            column.append(np.nan if value is None else float(value[0]))
    source.close()
    return {name: np.array(column) for name, column in found.items()}


def share(found: np.ndarray, spans: list[tuple[float, float]]) -> float:
    """Mean within spans, a quarter of a second after their start and before their end."""
    at = np.arange(len(found)) / 25
    inside = np.any([(at > start + 0.25) & (at < end - 0.25) for start, end in spans], 0)
    return float(np.nanmean(found[inside]))


@needs_voices
def test_each_channel_of_a_recording_is_a_speaker(recording: Path, bundle: Path) -> None:
    found = activity(MediaSource(recording, partner_channel="right"), bundle)
    assert len(found["own"]) == pytest.approx(SECONDS * 25, abs=2)
    assert share(found["own"], OWN) > 0.8
    assert share(found["own"], [(3.3, 5.5)]) < 0.1
    assert share(found["partner"], PARTNER) > 0.8
    assert share(found["partner"], OWN) < 0.1
    swapped = activity(MediaSource(recording, partner_channel="left"), bundle)
    np.testing.assert_array_equal(swapped["own"], found["partner"])
    np.testing.assert_array_equal(swapped["partner"], found["own"])


@needs_voices
def test_without_a_channel_of_their_own_the_partner_is_missing(recording: Path, bundle: Path) -> None:
    found = activity(MediaSource(recording), bundle)
    assert np.isnan(found["partner"]).all()
    assert share(found["own"], [*OWN, *PARTNER]) > 0.8  # the mix


@needs_voices
def test_samples_are_used_or_dropped_with_a_reason(recording: Path, bundle: Path) -> None:
    source = MediaSource(recording, partner_channel="right", start=1.0, end=5.0)
    with Run(source, bundle) as run:
        ticks = sum(1 for _ in run)
    assert ticks == pytest.approx(100, abs=2)
    for counts in source.counts.values():
        assert counts.captured == counts.delivered + sum(counts.dropped.values())
        assert counts.captured == pytest.approx(100, abs=2)


@needs_voices
def test_a_bundle_without_a_partner_refuses_their_channel(recording: Path, tmp_path: Path) -> None:
    alone = make_bundle(tmp_path / "one.onnx", [("own", 1, SPEAKING.name, 1.0)])
    with pytest.raises(UserError, match=r"gives partner \(speaking/1\)"):
        match(MediaSource(recording, partner_channel="left"), Bundle.load(alone).metadata)


def test_one_of_the_two_ways_to_choose_a_channel(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one of them"):
        MediaSource(tmp_path / "talk.wav", partner_channel="left", audio_channel=1)


@pytest.mark.parametrize("silent", [True, False])
def test_digital_silence_is_silence_or_missing(silent: bool) -> None:
    features = SpeakingFeatures("own", silent)
    samples = features.push(Sound(0, np.zeros(2 * RATE, np.float32)))
    assert len(samples) == 50
    assert [s.originating_time for s in samples[:2]] == [SECOND // 25, 2 * SECOND // 25]
    late = samples[-1].values
    assert (late is not None and late.tolist() == [0.0]) if silent else late is None


@needs_voices
def test_two_microphones_hear_two_people(pulse: Pulse, bundle: Path) -> None:
    pulse.play_samples(speech([(0.0, 8.0)], 8.0, noise=0.001), RATE)
    heard: dict[str, list[float]] = {"own": [], "partner": []}
    session = LiveSession(None, MICROPHONE, partner_mic=MICROPHONE, bundle=str(bundle))
    with session:
        assert [device.name for device in session.source.devices.values()] == [
            "microphone",
            "partner microphone",
        ]
        for estimate in session:
            for name, value in session.observation.values.items():
                if value is not None:
                    heard[name].append(float(value[0]))
            if estimate.tick >= 75:
                break
    for shares in heard.values():
        assert np.mean(shares[25:]) > 0.6


def test_a_microphone_gives_what_the_bundle_takes(bundle: Path, tmp_path: Path) -> None:
    inputs = Bundle.load(bundle).metadata.inputs
    voice = Bundle.load(make_bundle(tmp_path / "voice.onnx", [("audio", 44, "audio/1", 0.1)])).metadata.inputs
    own, partner = MicrophoneAudio(), MicrophoneAudio(partner=True)
    assert [str(one.offer_to(inputs)) for one in (own, partner)] == [
        "own (speaking/1)",
        "partner (speaking/1)",
    ]
    assert str(own.offer_to(voice)) == "audio (audio/1)"


@needs_voices
def test_the_command_replays_a_stereo_recording(recording: Path, bundle: Path, tmp_path: Path) -> None:
    outputs = {side: tmp_path / f"{side}.jsonl" for side in ("left", "right")}
    for side, path in outputs.items():
        arguments = ["replay", str(recording), "--bundle", str(bundle), "--partner-channel", side]
        assert main([*arguments, "--no-timing", "--to", f"jsonl:{path}"]) == 0
    lines = [path.read_text().splitlines() for path in outputs.values()]
    assert len(lines[0]) == len(lines[1]) == pytest.approx(SECONDS * 25, abs=2)
    assert '"present":{"own":true,"partner":true}' in lines[0][50].replace(" ", "")


def test_a_robot_says_from_python_when_it_speaks(bundle: Path) -> None:
    own, robot = Pushed("own", SPEAKING.name), Pushed("partner", SPEAKING.name)
    means = []
    with LiveSession(None, None, devices=[own, robot], bundle=str(bundle)) as session:
        own.push([0.0])
        robot.push([1.0])
        until = time.monotonic() + 10
        for estimate in session:
            means.append((estimate.present["own"], estimate.present["partner"]))
            if means[-1] == (True, True) or time.monotonic() > until:
                break
            own.push([0.0])
            robot.push([1.0])
    assert means[-1] == (True, True)


@needs_voices
def test_the_command_hears_two_microphones_live(pulse: Pulse, tmp_path: Path) -> None:
    pulse.play_samples(speech([(0.0, 8.0)], 8.0, noise=0.001), RATE)
    microphones = ["--mic", MICROPHONE, "--partner-mic", MICROPHONE]
    to = ["--to", f"jsonl:{tmp_path / 'out.jsonl'}", "--no-page"]
    assert main(["live", "--bundle", "turns", *microphones, "--duration", "5", *to]) == 0  # without a camera
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) >= 8
    assert all(line["present"] == {"own": True, "partner": True} for line in lines[3:])
    assert all(0 < line["engagement"]["low"] < line["engagement"]["high"] < 1 for line in lines)
