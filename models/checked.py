"""Parts of a configuration whose numbers are finite and in the range of their type.

The ranges are wide. They find what cannot be meant: a learning rate that is NaN, a size that asks for
terabytes.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Size = Annotated[int, Meta(ge=1, le=100_000)]  # of a vector or a layer
OptionalSize = Annotated[int, Meta(ge=0, le=100_000)]  # the same; 0 leaves it out
Layers = Annotated[tuple[Size, ...], Meta(max_length=16)]
Seed = Annotated[int, Meta(ge=0, le=10**15)]
Rate = Annotated[int, Meta(ge=1, le=1000)]  # ticks per second
Seconds = Annotated[float, Meta(gt=0, le=36_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1e6)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Line = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]{1,1000}\Z")]
# Also of a tensor in a bundle and a column of a table. PyTorch's modules know no dots.
Name = Annotated[str, Meta(pattern=r"\A\w[\w-]{0,59}\Z")]
SchemaName = Annotated[str, Meta(pattern=r"\A[\w./-]{1,64}\Z")]


class Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A struct whose fields are of their types however it is made: msgspec itself checks what it decodes.

    Raises:
        ValueError: names the field, and what is expected.
    """

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            try:
                msgspec.convert(getattr(self, field.name), field.type)
            except msgspec.ValidationError as error:
                raise ValueError(f"{field.name}: {error}") from None
