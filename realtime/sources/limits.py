"""What a recording may hold: more of it would take much memory or time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest that is read; what exceeds it is refused, naming the option that allows it.

    Attributes:
        max_pixels: of a picture of up to 16 bits a pixel; of more bits accordingly fewer, as a decoder keeps
            up to 18 pictures. Where the codec codes each for itself it keeps one, of any bits.
        max_channels: of sound.
        max_sample_rate: Hz, of sound.
        max_probe: bytes from the beginning, in which format and tracks are looked for.
    """

    max_pixels: int = 4096 * 4096
    max_channels: int = 64
    max_sample_rate: int = 1_000_000
    max_probe: int = 5_000_000

    @property
    def coded_pixels(self) -> int:
        """Of a picture with its codec's padding, up to 63 rows or columns of at most 32767 pixels."""
        return self.max_pixels + 2**21

    def of_picture(self, width: int, height: int, bits: int = _BITS) -> Iterator[str]:
        """A line if it is too large; `bits` are those of a pixel, where a decoder keeps several pictures."""
        if (pixels := -(-width * height * max(bits, _BITS) // _BITS)) > self.max_pixels:
            deep = f" of {bits} bits" if bits > _BITS else ""
            size = f"{width}×{height} pixels{deep}"
            yield f"pictures of {size} need much memory; --max-pixels {pixels} allows them"

    def of_sound(self, channels: int, rate: int) -> Iterator[str]:
        """A line for each of them that is too many; `rate` in Hz."""
        if channels > self.max_channels:
            yield f"sound of {channels} channels needs much memory; --max-channels {channels} allows it"
        if rate > self.max_sample_rate:
            yield f"sound at {rate} Hz needs much memory; --max-sample-rate {rate} allows it"


LIMITS: Final = Limits()
