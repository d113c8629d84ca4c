"""Several people in view of one camera: an observation of each at every tick, and whose the voice is.

A microphone hears everybody. Its features are given to the followed person, to whoever speaks, to nobody, or
to all.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError
from ..contracts.schemas import AUDIO, FACE
from .streams.samples import SECOND, Observation, View

Voice = Literal["followed", "speaker", "none", "all"]

FORGOTTEN: Final = 60 * SECOND  # ns out of view, after which a person's place is free

_MOUTH: Final = [
    FACE.index(name)
    for name in ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLowerDownLeft",
                 "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight")
]  # fmt: skip
_SPEECH: Final = AUDIO.index("speech")
SPEAKING: Final = 0.5  # probability of speech
SPAN: Final = 0.4  # s; over which a mouth's movement is looked at


class Speaker:
    """Who of several people speaks: the one whose mouth opens and closes most while there is a voice.

    On 42 pairs of speakers of the GRID corpus, one of them speaking, it is right at 97 % of the ticks with a
    voice if the other face is at rest, at 84 % if that mouth moves a little. Where both move as if both were
    speaking, it guesses.
    """

    def __init__(self, rate: int) -> None:
        self._span = max(2, round(SPAN * rate))
        self._mouths: dict[int, deque[NDArray[np.float32]]] = {}

    def update(self, faces: Mapping[int, NDArray[np.float32]], voice: bool) -> int | None:
        """The person who speaks at this tick; None if there is no voice.

        Args:
            faces: features, `face/1`, by person, of those in view.
            voice: whether there is speech.
        """
        self._mouths = {person: self._mouths.get(person) or deque(maxlen=self._span) for person in faces}
        for person, values in faces.items():
            self._mouths[person].append(values[_MOUTH])
        if not voice or not faces:
            return None
        movement = {person: float(np.ptp(mouth, axis=0).sum()) for person, mouth in self._mouths.items()}
        return max(movement, key=movement.__getitem__)


class People:
    """Gives each of several people a place, and an observation at every tick.

    Args:
        places: how many people there may be.
        face, audio: the bundle's names of these modalities; None where it does not take one.
        voice: whose the microphone's features are.
        rate: ticks a second.
        apart: whether observations are of one person each already, as a recording has them.

    Attributes:
        full: ticks at which somebody in view had no place.
    """

    def __init__(
        self,
        places: int,
        face: str | None,
        audio: str | None,
        voice: Voice,
        rate: int,
        apart: bool = False,
    ) -> None:
        if voice not in get_args(Voice):
            raise UserError(f"--voice {voice}: give one of {', '.join(get_args(Voice))}")
        self._places: list[int | None] = [None] * places  # ids
        self._seen = [0] * places  # ns
        self._face, self._audio, self._voice, self._apart = face, audio, voice, apart
        self._speaker = Speaker(rate)
        self.full = 0

    def observations(
        self, observation: Observation, reset: Callable[[int], None]
    ) -> Mapping[int, Observation]:
        """That of each person who has a place, by place; in the first one, of nobody, before there is any.

        Args:
            reset: called with a place where somebody else sits down than before.
        """
        view, time = observation.view, observation.time
        if self._apart:
            person = None if view is None else view.person
            place = 0 if person is None else self._sit(person, time, reset)
            return {} if place is None else {place: observation}
        views = () if view is None else (view, *view.others)
        by_person = {one.person: one for one in views if one.person is not None and one.box is not None}
        for person in by_person:
            self._sit(person, time, reset)
        seated = {place: person for place, person in enumerate(self._places) if person is not None}
        if self._face is None or not seated:
            return {0: observation}
        followed = None if view is None else view.person
        values = {p: self._values(observation, p, by_person, followed) for p in seated.values()}
        speaker = self._speaking(observation, values)
        return {
            place: self._of(observation, p, by_person, values[p], followed, speaker)
            for place, p in seated.items()
        }

    def _sit(self, person: int, time: int, reset: Callable[[int], None]) -> int | None:
        """The place of a person, a free one if they have none; None if there is none."""
        if person in self._places:
            place = self._places.index(person)
        else:
            free = (
                i
                for i, sitting in enumerate(self._places)
                if sitting is None or time - self._seen[i] >= FORGOTTEN
            )
            if (found := next(free, None)) is None:
                self.full += 1
                return None
            place = found
            if self._places[place] is not None:
                reset(place)
            self._places[place] = person
        self._seen[place] = time
        return place

    def _values(
        self, observation: Observation, person: int, views: Mapping[int, View], followed: int | None
    ) -> NDArray[np.float32] | None:
        if person == followed:
            return observation.values[self._face or ""]
        return views[person].values if person in views else None

    def _speaking(
        self, observation: Observation, values: Mapping[int, NDArray[np.float32] | None]
    ) -> int | None:
        if self._voice != "speaker" or self._audio is None:
            return None
        sound = observation.values[self._audio]
        voice = sound is not None and float(sound[_SPEECH]) >= SPEAKING
        return self._speaker.update({p: v for p, v in values.items() if v is not None}, voice)

    def _of(
        self,
        observation: Observation,
        person: int,
        views: Mapping[int, View],
        face: NDArray[np.float32] | None,
        followed: int | None,
        speaker: int | None,
    ) -> Observation:
        assert self._face is not None
        values, age = {**observation.values, self._face: face}, dict(observation.age)
        if face is None:
            age[self._face] = None
        hears = {
            "all": True,
            "none": False,
            "followed": person == followed,
            "speaker": person == speaker,
        }[self._voice]
        if self._audio is not None and not hears:
            values[self._audio] = age[self._audio] = None
        faces = 0 if observation.view is None else observation.view.faces
        view = views.get(person, View(faces, person))
        return replace(observation, values=values, age=age, view=replace(view, values=None, others=()))
