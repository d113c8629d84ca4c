"""Conversations of two synthetic voices, whose spans are known."""

import io
import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 16_000
TEXT = "so we went there again on monday morning and it was a lot of fun for all of them"
needs_voices = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
Spans = Sequence[tuple[float, float]]


def voice(name: str = "en", text: str = TEXT) -> NDArray[np.float64]:
    """Speech without the silence around it, 16 kHz, peak 0.3."""
    import soxr

    done = subprocess.run(["espeak-ng", "-v", name, "--stdout", text], capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(10**9), np.int16).astype(np.float64) / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    found: NDArray[np.float64] = soxr.resample(samples[loud[0] : loud[-1]], rate, RATE)
    return 0.3 * found / np.abs(found).max()


def speech(
    spans: Spans, seconds: float, name: str = "en", noise: float = 0.0, seed: int = 0
) -> NDArray[np.float64]:
    """That voice in these spans, s, over white noise of that standard deviation."""
    said = voice(name)
    out = noise * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    for start, end in spans:
        n = round((end - start) * RATE)
        at = round(start * RATE)
        out[at : at + n] += np.resize(said, n)
    return out


def stereo(path: Path, left: NDArray[np.float64], right: NDArray[np.float64]) -> Path:
    """Write a WAV file of two channels."""
    samples = np.round(np.stack([left, right], 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path
