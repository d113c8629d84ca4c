"""Addresses of servers and devices as they may be shown: without secrets."""

import re
from typing import Final

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|")
_SECRET_FOLLOWS: Final = re.compile(r"[?#=]")  # a query, a fragment, or `user=anna&password=…` in a path
_HOST: Final = re.compile(r"(\[[^\]@/]*\]|[^:@/]*)(:\d{0,5})?(/|\Z)")
_HIDDEN: Final = "…"


def without_password(address: str) -> str:
    """The address with everything replaced by `…` that may be a secret.

    User and password are removed: everything up to the last `@`, because passwords are written with any
    characters. What follows the first `?`, `#` or `=` is hidden. Where an `@` comes after one of these, or
    there is no valid host, the password cannot be located, and only the scheme is shown.
    """
    scheme = _SCHEME.match(address)
    start = scheme.end() if scheme else 0
    user, _, rest = address[start:].rpartition("@")
    if _SECRET_FOLLOWS.search(user) or (start and not _HOST.match(_SECRET_FOLLOWS.split(rest)[0])):
        return address[:start] + _HIDDEN
    if follows := _SECRET_FOLLOWS.search(rest):
        rest = rest[: follows.end()] + _HIDDEN
    return address[:start] + rest
