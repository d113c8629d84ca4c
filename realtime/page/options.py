"""What a user may set of the access to the page: other sites' origins, and a token."""

import ipaddress
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ...contracts.regular import open_regular

TOKEN: Final = "ENRAPT_TOKEN"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")  # RFC 6750, section 2.1
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443}


def origin_of(text: str) -> str:
    """An origin as browsers send it: in small letters, without the port that its scheme has anyway.

    Raises:
        UserError: it is none. `*` and `null` would be any site.
    """
    parts = _ORIGIN.fullmatch(text.lower())
    try:
        if parts is None:
            raise ValueError(text)
        scheme, host, port = parts.groups()
        if host.startswith("["):
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        number = None if port is None else int(port)
        if number is not None and not 0 < number < 65536:
            raise ValueError(text)
    except ValueError:
        raise UserError(
            f"origin {without_password(text)}: give SCHEME://HOST or SCHEME://HOST:PORT, nothing after it, "
            "such as https://app.example (a name with other letters as xn--…)"
        ) from None
    return f"{scheme}://{host}" + ("" if number in (None, _PORTS.get(scheme)) else f":{number}")


def token_of(file: Path | None, warn: Callable[[str], None]) -> str | None:
    """The token in this file, or else in the environment's `ENRAPT_TOKEN`; None without both.

    Args:
        warn: called with a line where other users of this machine can read or change the file. It is used
            all the same: container platforms mount secrets so.

    Raises:
        UserError: the file cannot be read, or there is no valid token.
    """
    if file is None:
        token, where = os.environ.get(TOKEN), TOKEN
        if token is None:
            return None
    else:
        token, where = _content(file, warn), str(file)
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise UserError(
            f"{where}: a token is one line of 16 to 512 letters, digits and -._~+/=, "
            "such as `openssl rand -hex 16` prints"
        )
    return token


def _content(file: Path, warn: Callable[[str], None]) -> str:
    try:
        with open_regular(file) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(4096)
    except (OSError, ValueError) as error:  # a ValueError: no path has that name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file}: cannot be read ({reason}); give a file with a token") from None
    if sys.platform != "win32" and mode & (stat.S_IROTH | stat.S_IWOTH):
        warn(f"{file}: other users of this machine can read or change the token; chmod 600 {file}")
    return content.decode("ascii", errors="replace")
