"""Damage to files, for tests of what reads them."""

import random


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """The bytes cut off somewhere, or with one bit flipped."""
    data = bytearray(whole)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)
