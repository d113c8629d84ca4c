from collections.abc import Iterator

import pytest

from enrapt.realtime.page.server import PageServer
from tests.support.served import FakeRun, ThreadedPage, observed


@pytest.fixture
def server() -> Iterator[PageServer]:
    server = PageServer(port=0)
    yield server
    server.close(True)


@pytest.fixture
def threaded() -> Iterator[ThreadedPage]:
    """A server for tests that look into it or change it."""
    server = ThreadedPage(port=0)
    yield server
    server.close(True)


@pytest.fixture(scope="module")
def idle_server() -> Iterator[PageServer]:
    """A server without estimates, for tests that change nothing."""
    server = PageServer(port=0)
    yield server
    server.close(True)


@pytest.fixture
def run(server: PageServer) -> FakeRun:
    """A run that reports its status at each tick."""
    run = observed(server)
    run.rate = 1
    return run


@pytest.fixture(scope="module")
def browser():
    from tests.support.browser import chromium  # which skips where there is none

    with chromium() as driver:
        yield driver
