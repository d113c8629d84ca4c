"""Addresses of servers: `scheme://USER:PASSWORD@HOST:PORT/PATH?OPTION=…`."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit


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
    """The parts of an address, in which `@`, `/`, … within a part are percent-encoded.

    Raises:
        ValueError: it is not such an address.
    """
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
