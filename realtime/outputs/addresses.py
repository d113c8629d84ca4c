"""The output of an address."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from .files import file_destination
from .output import Destination

if TYPE_CHECKING:
    from ..page.server import PageServer

PAGE_PORT: Final = 8765


@dataclass(frozen=True, slots=True)
class PageOpening(Destination):
    """A page in the browser. Writing to its server does not block, so it needs no thread."""

    open: Callable[[], "PageServer"]


def destination(address: str) -> Destination:
    """The output of an address, not open yet.

    Args:
        address: `jsonl:FILE`, `csv:FILE`; FILE `-`, or `-` alone for JSON Lines, is standard output.
            `ui`, `ui:PORT`, `ui:HOST:PORT` (or `ws`, `http`: other names of that server; without a host only
            this machine can connect). `parquet:FILE`, `lsl:NAME`, `osc://…`, `mqtt://…` and `mqtts://…`: see
            their modules.

    Raises:
        UserError: there is no such kind of output, or a package that it needs is not installed.
    """
    scheme, _, target = ("jsonl:-" if address == "-" else address).partition(":")
    if scheme in ("jsonl", "csv") and target:
        return file_destination(address, scheme, target)
    if scheme == "parquet" and target:  # packages are imported only when they are used
        from .parquet import parquet_destination

        return parquet_destination(address, target)
    if scheme == "lsl":
        from .lsl import lsl_destination

        return lsl_destination(address, target)
    if scheme == "osc":
        from .osc import osc_destination

        return osc_destination(address)
    if scheme in ("mqtt", "mqtts"):
        from .mqtt import mqtt_destination

        return mqtt_destination(address)
    if scheme in ("ui", "ws", "http"):
        return _page_opening(address, target)
    raise UserError(
        f"unknown output {without_password(address)!r}: give ui, jsonl:FILE, csv:FILE, parquet:FILE, "
        "lsl:NAME, osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or - for standard output"
    )


def _page_opening(address: str, target: str) -> PageOpening:
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # of an IPv6 address
    if (port or host) and not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise UserError(f"{address}: give ui, ui:PORT or ui:HOST:PORT")

    def serve() -> "PageServer":
        try:
            from ..page.server import PageServer
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            raise UserError(f"the page needs {package}: pip install {package}") from None
        return PageServer(host or "127.0.0.1", int(port) if port else PAGE_PORT)

    return PageOpening(address, serve, reopen=False)
