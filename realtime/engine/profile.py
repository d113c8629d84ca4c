"""A profile: what is known of one person, as maps of the values of each modality and of the estimate.

Values are mapped to those of a typical person of the training data, x' = shift + scale · x, and the
estimate's location on the logit, which is normal, to offset + slope · location.
"""

import math
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ...bundle.metadata import MAX_NUMBERS, Metadata, Name, Number, SchemaName, Text
from ...contracts.errors import UserError

VERSION: Final = 1
HALF_WIDTH: Final = 1.6448536269514722  # of the central 90 % of N(0, 1)
EDGE: Final = 1e-6  # the interval is kept this far from 0 and 1 before the logit

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()

Positive = Annotated[float, Meta(gt=0, le=1e9)]
Numbers = Annotated[tuple[Number, ...], Meta(max_length=MAX_NUMBERS)]
Distribution = tuple[float, float, float, float]  # mean, standard deviation, central 90 %


class Mapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a modality's values are mapped.

    Attributes:
        schema: that the values have; None for a plain vector.
        shift, scale: one a feature.
        seconds: of data that they are made of.
    """

    schema: SchemaName | None
    shift: Numbers
    scale: Annotated[tuple[Positive, ...], Meta(max_length=MAX_NUMBERS)]
    seconds: Annotated[float, Meta(ge=0, le=1e9)]


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the estimate is mapped, on the logit of engagement.

    Attributes:
        offset, slope: of the location.
        variance: added to that of the location: offset and slope are not exactly known.
    """

    offset: Number = 0.0
    slope: Positive = 1.0
    variance: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's profile; it fits one bundle.

    Attributes:
        made: when, ISO 8601 with its offset.
        bundle, bundle_sha256: that it was made with.
        seconds, labelled: of data, and of those how many have labels.
        modalities: by the bundle's name; one that is not in it is taken as it is.
    """

    profile_version: int = VERSION
    name: Name
    made: Text
    bundle: Text
    bundle_sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    seconds: Annotated[float, Meta(ge=0, le=1e9)]
    labelled: Annotated[float, Meta(ge=0, le=1e9)]
    modalities: dict[Name, Mapped]
    output: Output

    def __post_init__(self) -> None:
        for name, one in self.modalities.items():
            if len(one.shift) != len(one.scale):
                raise ValueError(f"{name} has {len(one.shift)} shifts and {len(one.scale)} scales")

    @property
    def made_of(self) -> str:
        """Of what data, for people."""
        return f"{self.labelled:g} s of labels" if self.labelled else f"{self.seconds:g} s, neutral"

    def check(self, metadata: Metadata) -> None:
        """Refuse a profile that is of another bundle.

        Raises:
            UserError: it was made with another bundle, or its modalities are not the bundle's.
        """
        remedy = "calibrate again with this bundle"
        known = {m.name: m for m in metadata.inputs if m.role == "observed"}
        for name, one in self.modalities.items():
            if name not in known:
                raise UserError(f"profile {self.name}: {metadata.name} takes no {name}; {remedy}")
            if (one.schema, len(one.shift)) != (known[name].schema, known[name].dim):
                raise UserError(
                    f"profile {self.name}: {name} is {one.schema} of {len(one.shift)} numbers in it, but "
                    f"{known[name].schema} of {known[name].dim} in {metadata.name}; {remedy}"
                )
        if self.bundle_sha256 != metadata.sha256:
            hashes = f"{self.bundle_sha256[:12]}…, not {metadata.sha256[:12]}…"
            raise UserError(f"profile {self.name}: was made with {self.bundle}, sha256 {hashes}; {remedy}")


class Personal:
    """A profile at work.

    Raises:
        UserError: it is of another bundle; see `Profile.check`.
    """

    def __init__(self, profile: Profile, metadata: Metadata) -> None:
        profile.check(metadata)
        self.profile = profile
        self._maps = {
            name: (np.array(one.shift, np.float32), np.array(one.scale, np.float32))
            for name, one in profile.modalities.items()
        }

    def value(self, modality: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """A modality's value `[D]` as a typical person would have it."""
        if (found := self._maps.get(modality)) is None:
            return x
        shift, scale = found
        return shift + scale * x

    def estimate(self, low: float, high: float) -> Distribution:
        """The distribution that becomes of the one with that central 90 %."""
        return mapped(self.profile.output, *location_scale(low, high))


def location_scale(low: float, high: float) -> tuple[float, float]:
    """Of a logit-normal distribution, by its central 90 %: mean and standard deviation of the logit."""
    left, right = logit(low), logit(high)
    return (left + right) / 2, (right - left) / 2 / HALF_WIDTH


def mapped(output: Output, location: float, scale: float) -> Distribution:
    """The distribution on 0 to 1 of a logit N(location, scale²) that is mapped."""
    location = output.offset + output.slope * location
    scale = math.sqrt((output.slope * scale) ** 2 + output.variance)
    y = sigmoid(location + scale * _NODES)
    mean = float(y @ _WEIGHTS)
    std = math.sqrt(float((y - mean) ** 2 @ _WEIGHTS))
    low, high = sigmoid(location + HALF_WIDTH * scale * np.array([-1.0, 1.0]))
    return mean, std, float(low), float(high)


def sigmoid(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(−u)), without overflow."""
    y: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * u))
    return y


def logit(y: float) -> float:
    """ln(y / (1 − y)); finite also at 0 and 1."""
    y = min(max(y, EDGE), 1 - EDGE)
    return math.log(y / (1 - y))
