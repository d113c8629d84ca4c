"""Changes that turn a valid file, or a tree of values, into a hostile one. All of them repeat by `rng`."""

import copy
import json
import os
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

NUMBERS: Final = (
    *(0, 1, -1, 127, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1),
    *(-(2**31), -(2**62), -(2**63)),
)
FLOATS: Final = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e308, 1e-320, -0.0, 1e18, -1e18)
TEXTS: Final = (
    *(
        "",
        "\0",
        "x" * 100_000,
        "../../../etc/passwd",
        "/dev/zero",
        "\x1b]0;title\7\x1b[2J",
        "$_$",
        "{{data}}",
    ),
    *("<script>alert(1)</script>", "%s%n", "a\nb\rc", "\u202e\ufeff", "١٢٣", "nan", "-1", "1e999"),
)


def truncated(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 10, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def beginning(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 12)):
        data[rng.randrange(min(len(data), 1500))] = rng.randrange(256)


def zeroed(data: bytearray, rng: random.Random) -> None:
    start, size = _block(data, rng)
    data[start : start + size] = bytes(size)


def swapped(data: bytearray, rng: random.Random) -> None:
    size = rng.randrange(1, max(2, len(data) // 4))
    a = rng.randrange(max(1, len(data) - 2 * size))
    b = rng.randrange(a + size, max(a + size + 1, len(data) - size))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def repeated(data: bytearray, rng: random.Random) -> None:
    start, size = _block(data, rng)
    data[start:start] = data[start : start + size] * rng.choice((1, 2, 10))


def inserted(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randrange(1, 1000))


def words(data: bytearray, rng: random.Random) -> None:
    """Lengths, counts, rates and times that lie: extreme numbers, more often near the beginning."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        width = rng.choice((1, 2, 4, 8))
        end = min(len(data), 1000) if rng.random() < 0.7 else len(data)
        at = rng.randrange(max(1, end - width))
        order = rng.choice(("little", "big"))
        if rng.random() < 0.8:
            number = rng.choice(NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        else:
            data[at : at + 8] = struct.pack("<d" if order == "little" else ">d", rng.choice(FLOATS))


BYTES: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    *(truncated, flipped, beginning, zeroed, swapped, repeated, inserted, words, words),
)


def changed_bytes(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """The name of a change of some bytes, and the changed data."""
    change, result = rng.choice(BYTES), bytearray(data)
    if result:
        change(result, rng)
    return change.__name__, bytes(result)


def changed_tree(tree: Any, rng: random.Random, *, keep: frozenset[str] = frozenset()) -> tuple[str, Any]:
    """A tree of dicts and lists with one to three of its values replaced, removed or doubled.

    Args:
        keep: names of values that stay as they are.
    """
    result, labels = copy.deepcopy(tree), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = [place for place in _places(result) if place[1] not in keep]
        if not places:
            break
        holder, key = rng.choice(places)
        what = rng.choice(("value", "value", "value", "value", "removed", "doubled", "deep"))
        if what == "removed":
            del holder[key]
        elif what == "doubled":
            if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            else:
                holder[f"{key}2"] = copy.deepcopy(holder[key])
        elif what == "deep":
            holder[key] = _deep(rng.choice((10, 500, 5000)))
        else:
            holder[key] = value = _value(holder[key], rng)
            what = repr(value)[:30]
        labels.append(f"{key}: {what}")
        if what == "deep":
            break
    return ", ".join(labels), result


def dumped(tree: Any) -> str:
    """JSON; of a tree that is too deep for it, lists that are deeper."""
    try:
        return json.dumps(tree)
    except RecursionError:
        return "[" * 100_000


def special(path: Path, rng: random.Random) -> str:
    """Put something there that is not a regular file, or is empty; returns what."""
    path.unlink(missing_ok=True)
    what = rng.choice(("fifo", "zero", "full", "folder", "loop", "dangling", "socket", "empty", "missing"))
    match what:
        case "fifo":
            os.mkfifo(path)
        case "zero" | "full":
            path.symlink_to(f"/dev/{what}")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(path.with_name("nothing"))
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)  # the address of a socket is short
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path.name)
            os.chdir(here)
        case "empty":
            path.touch()
    return what


def _block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    size = rng.randrange(1, max(2, len(data) // 3))
    return rng.randrange(max(1, len(data) - size)), size


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Each value of a tree by its holder and its key in it."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    found = []
    for key in list(keys):
        found.append((tree, key))
        found += _places(tree[key])
    return found


def _value(old: Any, rng: random.Random) -> Any:
    """More often one of the same kind."""
    same: tuple[Any, ...] = TEXTS if isinstance(old, str) else (*NUMBERS, *FLOATS[:-2])
    anything: tuple[Any, ...] = (*TEXTS, *NUMBERS, *FLOATS, None, True, [], {}, [[]], {"a": 1}, 10**30)
    return rng.choice(same if rng.random() < 0.7 else anything)


def _deep(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = [tree]
    return tree
