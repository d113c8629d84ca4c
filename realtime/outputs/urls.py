"""Addresses of servers: `scheme://USER:PASSWORD@HOST:PORT/PATH?OPTION=…`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Url:
    """Parts of an address, with `%40` and its like resolved.

    Attributes:
        path: without the first slash.
        options: after the question mark.
    """

    host: str
    port: int | None
    path: str
    user: str | None
    password: str | None
    options: Mapping[str, str]


def url(address: str) -> Url:
    """The parts of an address; what has a meaning of its own in them is written `%40`.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(address)
    # An @ in the path is that of a password with a slash in it: its half would be the host.
    if not parts.hostname or parts.port == 0 or "#" in address or "@" in parts.path:
        raise ValueError(address)
    parts.hostname.encode("idna")  # what is too long for a name is a ValueError, too
    return Url(
        parts.hostname,
        parts.port,
        unquote(parts.path.removeprefix("/"), errors="strict"),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))),
    )


def without_password(address: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"(//[^:@/]*):.*@", r"\1@", address)
