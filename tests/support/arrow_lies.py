"""Arrow messages of a session that are altered and sealed again, so that their checksums are right."""

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

from enrapt.realtime.store.messages import messages

CHECK = re.compile(rb"crc32=([0-9a-f]{8}) bytes=([0-9a-f]{8})")
WORDS = (2**31 - 1, 2**40, 2**62, -1, -(2**62), 0, 1, 10**6)


def reseal(message: bytearray) -> bytes:
    """With the checksum that fits; unchanged if there is no place for one any more."""
    if check := CHECK.search(message):
        message[check.start(1) : check.end(1)] = b"00000000"
        message[check.start(1) : check.end(1)] = b"%08x" % zlib.crc32(message)
    return bytes(message)


def alter(path: Path, which: int, change: Callable[[bytearray], None]) -> None:
    """Change one message of a file; the first, 0, is the schema, and the others are batches."""
    data = path.read_bytes()
    with path.open("rb") as file:
        parts = list(messages(file, len(data)))
    end = data[sum(map(len, parts)) :]
    changed = bytearray(parts[which])
    change(changed)
    parts[which] = reseal(changed)
    path.write_bytes(b"".join(parts) + end)


def lie(random: Random) -> tuple[int, Callable[[bytearray], None]]:
    """Which message, and a change of some bytes or one word in its metadata or its body."""
    kind = random.choice(("word", "word", "bytes", "body", "schema"))

    def change(message: bytearray) -> None:
        n = int.from_bytes(message[4:8], "little")
        check = CHECK.search(message)
        assert check is not None
        if kind == "word":
            at = 8 + 8 * random.randrange(n // 8)
            if not check.start() - 8 <= at <= check.end():
                message[at : at + 8] = random.choice(WORDS).to_bytes(8, "little", signed=True)
            return
        begin, end = (8 + n, len(message)) if kind == "body" else (8, 8 + n)
        for _ in range(random.randrange(1, 6)):
            if begin < end and not check.start() <= (at := random.randrange(begin, end)) < check.end():
                message[at] = random.randrange(256)

    return int(kind != "schema"), change
