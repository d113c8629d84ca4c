"""What is said of a modality that is missing in a recording."""

from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.run import Run
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.session import SessionSource
from tests.support.bundles import make_bundle


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """3 s of noise, 4 s of digital silence, 3 s of noise, nothing for 5 s, 3 s of noise."""
    path = tmp_path_factory.mktemp("recordings") / "sound.mkv"
    noise = np.random.default_rng(0).integers(-9000, 9000, (1, 48_000), np.int16)
    with av.open(str(path), "w") as container:
        audio = container.add_stream("pcm_s16le", rate=16_000)
        audio.layout = "mono"
        for second, samples in ((0, noise), (3, np.zeros((1, 64_000), np.int16)), (7, noise), (15, noise)):
            for begin in range(0, samples.shape[1], 1600):
                block = av.AudioFrame.from_ndarray(samples[:, begin : begin + 1600].copy(), "s16", "mono")
                block.sample_rate, block.pts = 16_000, second * 16_000 + begin
                container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "a.onnx", [("audio", AUDIO.dim, AUDIO.name, None)]
    )


def missing(source, bundle, **options):
    """How long for each reason, and whether there was a reason at each tick."""
    with Run(source, bundle, **options) as run:
        reasons = [run.missing.get("audio") for _ in run]
    entries = run.summary()["missing"].get("audio", [])
    return {entry["reason"]: entry["s"] for entry in entries}, reasons


def test_silence_and_gaps(recording, bundle, tmp_path):
    expected = {
        "the sound is digital silence: the microphone was muted": pytest.approx(3.5, abs=0.2),
        "the recording has nothing here": pytest.approx(4.9, abs=0.2),
    }
    lasted, reasons = missing(MediaSource(recording), bundle, record=tmp_path / "session")
    assert lasted == expected
    assert reasons[-1] is None
    assert missing(SessionSource(tmp_path / "session", reassemble=True), bundle)[0] == expected
    (lasted,) = missing(SessionSource(tmp_path / "session"), bundle)[0].items()
    assert lasted == ("was missing when it was recorded", pytest.approx(8.4, abs=0.4))
