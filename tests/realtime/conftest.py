import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from enrapt.realtime.sources.findings import Findings
from enrapt.realtime.streams.samples import Frame, Sound
from tests.support.lsl_loopback import LOOPBACK, Outlets


@dataclass
class Scripted:
    """Stands for a `Recording`: these items, then perhaps an error."""

    items: Iterable[Frame | Sound]
    error: Exception | None = None
    start: float = 0.0
    video: str | None = "video"
    audio: str | None = "audio"
    path: Path = Path("scripted.mp4")
    duration: float | None = None
    created: datetime | None = None
    found: Findings = field(default_factory=Findings)

    def select(self, video: int | None, audio: int | None) -> None:
        """Everything is read."""

    def __iter__(self) -> Iterator[Frame | Sound]:
        yield from self.items
        if self.error is not None:
            raise self.error


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture(scope="module")
def loopback(tmp_path_factory):
    """Lab Streaming Layer stays on this machine."""
    configuration = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    configuration.write_text(LOOPBACK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSLAPICFG", str(configuration))
        yield


@pytest.fixture
def name():
    """Of a stream that nobody else has."""
    return f"test {uuid.uuid4().hex[:8]}'s"


@pytest.fixture
def outlet():
    """Starts outlets in processes of their own."""
    with Outlets() as outlets:
        yield outlets
