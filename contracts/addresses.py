"""Addresses of servers and devices as they may be shown: without secrets."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .errors import on_one_line

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+|")  # also with a slash too few or too many
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|")
# A query, a fragment, or `user=anna&password=…` in a path; also percent-encoded.
_SECRET_FOLLOWS: Final = re.compile(r"[?#=&]|%3f|%23|%3d|%26", re.IGNORECASE)
_HOST: Final = re.compile(r"(\[[^\]@/]*\]|[^:@/]*)(:\d{0,5})?(/|\Z)")
_HIDDEN: Final = "…"

_BEFORE: Final = re.compile(r"(--?[A-Za-z][A-Za-z-]*=)?((jsonl|csv|parquet):)?")
_MAY_HAVE_PASSWORD: Final = re.compile(r"[:;]/|//|:.*(@|%40)|[?&].*=", re.DOTALL | re.IGNORECASE)


def without_password(address: str) -> str:
    """The address with everything replaced by `…` that may be a secret.

    User and password are removed: everything up to the last `@`, because passwords are written with any
    characters. What follows the first `?`, `#`, `=` or `&` is hidden. Where an `@` comes after one of these
    or is encoded, or there is no valid host, the password cannot be located, and only the scheme is shown.
    """
    scheme = _SCHEME.match(address)
    start = scheme.end() if scheme else 0
    user, at, rest = address[start:].rpartition("@")
    if not at and (kind := _KIND.match(address)):
        start = max(start, kind.end())  # `http:anna:secret`, without any slash
        rest = address[start:]
    host = _HOST.match(_SECRET_FOLLOWS.split(rest)[0])
    if _SECRET_FOLLOWS.search(user) or "%40" in rest or (start and not host):
        return address[:start] + _HIDDEN
    if follows := _SECRET_FOLLOWS.search(rest):
        rest = rest[: follows.end()] + _HIDDEN
    return address[:start] + rest


def without_passwords(text: str, arguments: Iterable[str]) -> str:
    """A message about arguments of a command, with addresses among them as `without_password` shows them.

    For arguments that are not expected to be addresses: the message may have them quoted, or as paths, or of
    `NAME=VALUE` only one of both.
    """
    for argument in (part for each in arguments for part in (each, *each.rsplit("=", 1)[:-1])):
        address = _BEFORE.sub("", argument, count=1)
        if not _MAY_HAVE_PASSWORD.search(address) or (shown := without_password(address)) == address:
            continue
        forms = {address, str(Path(address)), repr(address)[1:-1], repr(str(Path(address)))[1:-1]}
        for form in sorted({*forms, *map(on_one_line, forms)}, key=len, reverse=True):
            if form:
                text = text.replace(form, shown)
    return text
