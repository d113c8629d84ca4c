from collections.abc import Iterator

import pytest

from enrapt.realtime.page.server import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    server = PageServer(port=0)
    yield server
    server.close(True)
