"""Whom to follow of several people in view."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

from ....contracts.errors import UserError
from ...streams.samples import SECOND

if TYPE_CHECKING:
    from .tracker import Face

Policy = Literal["largest", "first", "left", "right", "centre"]
SETTLE: Final = SECOND  # ns after the first choice, in which a better one replaces it


class Follower:
    """Chooses a person once, and keeps to that person.

    A person who is gone is missing. Another one takes over only after `handover`.

    Args:
        person: how to choose: the largest face, the first that appeared, the leftmost or rightmost in the
            picture, the one nearest to its centre; or an id.
        handover: seconds without the person after which to choose again; None for never.

    Attributes:
        person: id of the one that is followed; None before the first choice.
    """

    def __init__(self, person: Policy | int = "largest", handover: float | None = None) -> None:
        if not (person in get_args(Policy) or (isinstance(person, int) and person >= 1)):
            raise UserError(f"person {person!r}: give {', '.join(get_args(Policy))} or an id, from 1")
        if handover is not None and not 0 <= handover < math.inf:
            raise UserError(f"handover {handover}: give seconds, 0 or more, or None for never")
        self._policy: Policy = "largest" if isinstance(person, int) else person
        self.person = person if isinstance(person, int) else None
        self._handover = None if handover is None else round(handover * SECOND)
        self._settled = 0  # ns; until then the choice may change
        self._seen: int | None = None  # ns; when the person was last in view

    def follow(self, person: int) -> None:
        """Follow the person with this id from now on; from any thread."""
        self._settled, self.person = 0, person

    def choose(self, faces: "Sequence[Face]", width: int, time: int) -> "Face | None":
        """The face of the followed person; None if it is not in view.

        Args:
            faces: in view; those without an id cannot be chosen.
            width: of the picture, pixels.
            time: ns.
        """
        known = [face for face in faces if face.id]
        followed = next((face for face in known if face.id == self.person), None)
        if followed is not None or self._seen is None:
            self._seen = time
        gone = self._handover is not None and time - self._seen >= self._handover
        if not known or not (self.person is None or time < self._settled or (followed is None and gone)):
            return followed
        chosen = min(known, key=lambda face: self._rank(face, width))
        if chosen is not followed:
            if followed is None:
                self._settled = time + SETTLE
            self.person, self._seen = chosen.id, time
        return chosen

    def _rank(self, face: "Face", width: int) -> float:
        match self._policy:
            case "largest":
                return -face.width
            case "first":
                return face.id
            case "left":
                return face.region.x
            case "right":
                return -face.region.x
            case "centre":
                return abs(face.region.x - width / 2)
