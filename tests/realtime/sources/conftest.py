"""A sound server of their own for tests of microphones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pulse import Pulse, missing


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with Pulse(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
