"""Addresses of outputs: the output of each, and the parts of `scheme://USER:PASSWORD@HOST:PORT/PATH?OPTION=…`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from .files import file_destination
from .output import Destination, Opening

if TYPE_CHECKING:
    from ..page.server import PageServer

PAGE_PORT: Final = 8765


@dataclass(frozen=True, slots=True)
class PageOpening(Destination):
    """A page in the browser. Writing to its server does not block, so it needs no thread."""

    open: Callable[[], "PageServer"]


def destination(address: str, opening: Opening | None = None) -> Destination:
    """The output of an address, not open yet.

    Args:
        address: `jsonl:FILE`, `csv:FILE`; FILE `-`, or `-` alone for JSON Lines, is standard output.
            `ui` (a free port if its usual one is taken), `ui:PORT`, `ui:HOST:PORT` (or `ws`, `http`: other
            names of that server; without a host only this machine can connect), each with
            `?allow-origin=ORIGIN&token-file=FILE` for clients: see `page.options`, also for a token in the
            environment. `parquet:FILE`, `lsl:NAME`, `osc://…`, `mqtt://…` and `mqtts://…`: see their modules.
        opening: of a file.

    Raises:
        UserError: no such kind of output, an address of another form, or a package is not installed.
    """
    opening = opening or Opening()
    scheme, _, target = ("jsonl:-" if address == "-" else address).partition(":")
    if scheme in ("jsonl", "csv", "parquet") and "://" in target:
        raise UserError(f"{scheme}:{without_password(target)}: give a file; that is an address")
    if scheme in ("jsonl", "csv") and target:
        return file_destination(address, scheme, target, opening)
    if scheme == "parquet" and target:  # packages are imported only when they are used
        from .parquet import parquet_destination

        return parquet_destination(address, target, opening)
    if scheme == "lsl":
        from .lsl import lsl_destination

        return lsl_destination(address, target)
    if scheme == "osc":
        from .osc import osc_destination

        return osc_destination(address)
    if scheme in ("mqtt", "mqtts"):
        from .mqtt import mqtt_destination

        return mqtt_destination(address)
    if scheme.partition("?")[0] in ("ui", "ws", "http"):
        return page_opening(address, opening)
    raise UserError(
        f"unknown output {without_password(address)!r}: give ui, jsonl:FILE, csv:FILE, parquet:FILE, "
        "lsl:NAME, osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or - for standard output"
    )


def page_opening(address: str, opening: Opening, people: Sequence[str] = ()) -> PageOpening:
    """The page at an address; see `destination`.

    Args:
        people: names, where it shows the runs of several people.

    Raises:
        UserError: the address is wrong.
    """
    from ..page.options import origin_of, token_of

    place, _, query = address.partition("?")
    host, _, port = place.partition(":")[2].rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # of an IPv6 address
    numbered = port.isascii() and port.isdecimal() and int(port) < 65536
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
        files = [Path(value) for name, value in options if name == "token-file"]
        if ((port or host) and not numbered) or set("/@#=&") & set(host):
            raise ValueError(address)
        if not {name for name, _ in options} <= {"allow-origin", "token-file"} or len(files) > 1:
            raise ValueError(address)
    except ValueError:
        raise UserError(
            f"{without_password(address)}: give ui, ui:PORT or ui:HOST:PORT, "
            "or these with ?allow-origin=ORIGIN&token-file=FILE"
        ) from None
    origins = [origin_of(value) for name, value in options if name == "allow-origin"]

    def serve() -> "PageServer":
        from ..page.server import PageServer

        for package in ("starlette", "uvicorn", "websockets"):  # which the page's process imports
            if find_spec(package) is None:
                raise UserError(f"the page needs {package}: pip install {package}")
        token = token_of(files[0] if files else None, opening.warn)
        server = partial(PageServer, host or "127.0.0.1", origins=origins, token=token, people=people)
        if port:
            return server(int(port))
        try:
            return server(PAGE_PORT)
        except UserError:  # taken by another session, most likely
            return server(0)

    return PageOpening(place, serve, reopen=False)


@dataclass(frozen=True, slots=True)
class Url:
    """Parts of an address, percent-decoded."""

    host: str
    port: int | None
    path: str  # without the first slash
    user: str | None
    password: str | None
    options: Mapping[str, str]  # after `?`


def url(address: str) -> Url:
    """The parts of an address, in which `@`, `/`, … within a part are percent-encoded; else ValueError."""
    parts = urlsplit(address)
    # An @ in the path belongs to a password with a slash in it, whose first part would be taken for the host.
    if not parts.hostname or parts.port == 0 or "#" in address or "@" in parts.path:
        raise ValueError(address)
    parts.hostname.encode("idna")  # a name that is too long is a ValueError, too
    return Url(
        parts.hostname,
        parts.port,
        unquote(parts.path.removeprefix("/"), errors="strict"),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))),
    )
