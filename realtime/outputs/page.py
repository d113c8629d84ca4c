"""The page in the browser, and estimates over HTTP and WebSocket: see `server`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...contracts.errors import UserError
from .output import Destination

if TYPE_CHECKING:
    from ..page.server import PageServer

PORT: Final = 8765


@dataclass(frozen=True, slots=True)
class PageOpening(Destination):
    """A page's address. Writing to its server does not block, so it needs no thread."""

    open: Callable[[], "PageServer"]


def page_opening(address: str, target: str) -> PageOpening:
    """A page at `target`: empty, PORT or HOST:PORT; the host is this machine's loopback if none is given.

    Raises:
        UserError: the port is no number from 0 (any that is free) to 65535.
    """
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # of an IPv6 address
    if (port or host) and not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UserError(f"{address}: give ui, ui:PORT or ui:HOST:PORT")

    def serve() -> "PageServer":
        from ..page.server import PageServer

        return PageServer(host or "127.0.0.1", int(port) if port else PORT)

    return PageOpening(address, serve, reopen=False)
