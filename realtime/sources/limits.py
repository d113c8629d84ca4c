"""What a recording may hold: more of it would take much memory or time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest that is read; what exceeds it is refused, naming the option that allows it.

    Attributes:
        max_pixels: of a picture; a decoder may keep 16 of them.
        max_channels: of sound.
        max_sample_rate: Hz, of sound.
        max_probe: bytes from the beginning, in which format and tracks are looked for.
    """

    max_pixels: int = 4096 * 4096
    max_channels: int = 64
    max_sample_rate: int = 1_000_000
    max_probe: int = 5_000_000

    def of_picture(self, width: int, height: int) -> Iterator[str]:
        """A line if it is too large."""
        if (pixels := width * height) > self.max_pixels:
            yield f"pictures of {width}×{height} pixels need much memory; --max-pixels {pixels} allows them"

    def of_sound(self, channels: int, rate: int) -> Iterator[str]:
        """A line for each of them that is too many; `rate` in Hz."""
        if channels > self.max_channels:
            yield f"sound of {channels} channels needs much memory; --max-channels {channels} allows it"
        if rate > self.max_sample_rate:
            yield f"sound at {rate} Hz needs much memory; --max-sample-rate {rate} allows it"


LIMITS: Final = Limits()
