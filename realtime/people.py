"""Several people in view of one camera: an observation of each at every tick, and whose the voice is.

A microphone hears everybody. Its features are given to the followed person, to whoever speaks, to nobody, or
to all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts.schemas import AUDIO, FACE
from .streams.samples import SECOND, Observation, View

Voice = Literal["followed", "speaker", "none", "all"]

FORGOTTEN: Final = 60 * SECOND  # ns out of view, after which a person's place is free

_MOUTH: Final = [i for i, name in enumerate(FACE.features) if name.startswith(("jaw", "mouth"))]
_SPEECH: Final = AUDIO.index("speech")
SPEAKING: Final = 0.5  # probability of speech
MEMORY: Final = 0.4  # s; how long a mouth's movement counts
CLEARLY: Final = 1.3  # times as much as the present speaker's: another one has taken over


class Speaker:
    """Who of several people speaks: the one whose mouth moves most while there is a voice.

    Where several mouths move all the time, as if all were speaking, it guesses.

    Attributes:
        person: id of the one who speaks, or spoke last; None before.
    """

    def __init__(self, rate: int) -> None:
        self._keep = float(np.exp(-1 / (MEMORY * rate)))
        self._mouths: dict[int, NDArray[np.float32]] = {}
        self._movement: dict[int, float] = {}
        self.person: int | None = None

    def update(self, faces: Mapping[int, NDArray[np.float32]], voice: bool) -> int | None:
        """The person who speaks at this tick; None if there is no voice.

        Args:
            faces: features, `face/1`, by person, of those in view.
            voice: whether there is speech.
        """
        mouths = {person: values[_MOUTH] for person, values in faces.items()}
        self._movement = {
            person: self._keep * self._movement.get(person, 0.0)
            + (float(np.abs(mouth - self._mouths[person]).sum()) if person in self._mouths else 0.0)
            for person, mouth in mouths.items()
        }
        self._mouths = mouths
        if not voice or not mouths:
            return None
        most = max(self._movement, key=self._movement.__getitem__)
        present = self._movement.get(self.person or 0)
        if present is None or self._movement[most] > CLEARLY * present:
            self.person = most
        return self.person


class People:
    """Gives each of several people a place, and an observation at every tick.

    Args:
        places: how many people there may be.
        face, audio: the bundle's names of these modalities; None where it does not take one.
        voice: whose the microphone's features are.
        rate: ticks a second.

    Attributes:
        full: ticks at which somebody in view had no place.
    """

    def __init__(self, places: int, face: str | None, audio: str | None, voice: Voice, rate: int) -> None:
        self._places: list[int | None] = [None] * places  # ids
        self._seen = [0] * places  # ns
        self._face, self._audio, self._voice = face, audio, voice
        self._speaker = Speaker(rate)
        self.full = 0

    def observations(self, observation: Observation) -> Sequence[Observation]:
        """One of each person who has a place, at this tick; of nobody in particular before there is one."""
        view = observation.view
        views = () if view is None else (view, *view.others)
        by_person = {one.person: one for one in views if one.person is not None and one.box is not None}
        for person in by_person:
            self._sit(person, observation.time)
        seated = [person for person in self._places if person is not None]
        if self._face is None or not seated:
            return [observation]
        followed = None if view is None else view.person
        values = {p: self._values(observation, p, by_person, followed) for p in seated}
        speaker = self._speaking(observation, values)
        return [self._of(observation, p, by_person, values[p], followed, speaker) for p in seated]

    def place(self, person: int | None) -> int:
        """The place of a person who has one; the first for None."""
        return 0 if person is None else self._places.index(person)

    def _sit(self, person: int, time: int) -> None:
        if person in self._places:
            self._seen[self._places.index(person)] = time
            return
        for place, sitting in enumerate(self._places):
            if sitting is None or time - self._seen[place] >= FORGOTTEN:
                self._places[place], self._seen[place] = person, time
                return
        self.full += 1

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
