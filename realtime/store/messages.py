"""A file of a session as messages: each is written completely or not at all, and read only if unchanged.

The messages are those of an Arrow IPC stream. Arrow has no checksums, so each carries one: the text
`crc32=… bytes=…` in its custom metadata (the first message's: in its schema's), over all its bytes with zeros
for the digits after `crc32=`. Each is checked before Arrow reads it.
"""

import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from io import FileIO
from typing import BinaryIO, Final

END: Final = b"\xff\xff\xff\xff\0\0\0\0"  # ends a stream
UNCHECKED: Final = b"crc32=00000000 bytes=00000000"  # goes into a message that is to be sealed

_CHECK: Final = re.compile(rb"crc32=([0-9a-f]{8}) bytes=([0-9a-f]{8})")
_MAX_METADATA: Final = 2**20  # bytes; that of a schema is some thousand
_MAX_MESSAGE: Final = 2**27  # bytes; a second of rows is less than one of them


def sealed(message: bytes) -> bytes:
    """The message with its check filled in."""
    filled = bytearray(message)
    check = filled.index(UNCHECKED)
    filled[check + 21 : check + 29] = b"%08x" % len(filled)
    filled[check + 6 : check + 14] = b"%08x" % zlib.crc32(filled)
    return bytes(filled)


def messages(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The messages in the first `size` bytes of a file, up to the end of its stream or to a changed one."""
    position = 0
    while len(head := file.read(8)) == 8 and head != END:
        n = int.from_bytes(head[4:], "little")
        metadata = file.read(n) if n <= _MAX_METADATA else b""
        check = _CHECK.search(metadata)
        if check is None:
            return
        length = int(check[2], 16)
        if not 8 + n <= length <= min(size - position, _MAX_MESSAGE):
            return
        message = head + metadata + file.read(length - 8 - n)
        begin, end = 8 + check.start(1), 8 + check.end(1)
        bytes_of = memoryview(message)
        crc = zlib.crc32(bytes_of[end:], zlib.crc32(b"00000000", zlib.crc32(bytes_of[:begin])))
        if len(message) < length or crc != int(check[1], 16):
            return
        yield message
        position += length


def write_whole(file: FileIO, data: bytes, end: int) -> None:
    """Write all of the data, or leave the file `end` bytes long, as it was, and raise."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(file.fileno(), left) :]
    except BaseException:  # a full disk, or Ctrl-C
        with contextlib.suppress(OSError):
            file.seek(end)
            file.truncate()
        raise
