import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.cli import batch
from enrapt.cli.batch import Function, Result, attempt
from enrapt.cli.main import main
from enrapt.cli.recordings import Item

# Ray is large and not in enrapt[dev]; see CONTRIBUTING.md.
collect_ignore = [] if importlib.util.find_spec("ray") else ["test_extract_on_ray.py"]

Enrapt = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def enrapt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enrapt:
    """Runs the command in a process of its own, in an empty folder, and waits for its end."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore

    return run


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Enrapt:
    """The same in this process, which is faster: without what only a process of its own has."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        status = main(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


def in_this_process(
    function: Function,
    items: Sequence[Item],
    jobs: int,
    stop: object,
    progress: Callable[[Item, float], None],
) -> Iterator[Result]:
    """What `batch.run_each` gives; that one starts processes, which take a second each."""
    for item in items:
        yield attempt(function, item, partial(progress, item))


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on several recordings is done by the process of the test."""
    monkeypatch.setattr(batch, "run_each", in_this_process)


def write_sound(path: Path, seconds: float, codec: str, **options: str) -> None:
    noise = np.random.default_rng(0).normal(0, 3000, (1, round(16000 * seconds))).astype(np.int16)
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        for at in range(0, noise.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(noise[:, at : at + 1024], format="s16", layout="mono")
            frame.sample_rate = 16000
            frame.pts = at
            frame.time_base = Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of noise: 101 ticks."""
    path = tmp_path_factory.mktemp("sound") / "noise.wav"
    write_sound(path, 4.0, "pcm_s16le")
    return path


@pytest.fixture(scope="session")
def breaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of eight seconds whose file ends after about five."""
    path = tmp_path_factory.mktemp("breaking") / "noise.m4a"
    write_sound(path, 8.0, "aac", movflags="faststart")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 5 // 8])
    return path
