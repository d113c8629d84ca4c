"""Voice activity, schema `speaking/1`: one number per 40 ms of sound.

`speaking` is the share of these that WebRTC's voice activity detector calls speech: `speech` of `audio/1`.
"""

from dataclasses import replace

import numpy as np

from ...contracts.schemas import AUDIO, SPEAKING
from ..streams.samples import Sample, Sound
from .audio import AudioFeatures

_SPEECH = AUDIO.index("speech")


class SpeakingFeatures(AudioFeatures):
    """Turns sound into voice activity, as `AudioFeatures` turns it into `audio/1`.

    Args:
        silent: digital silence is somebody who does not speak, as on a channel of its own of a recording or
            of a robot; else, as of a muted microphone, the values are missing.
    """

    def __init__(self, modality: str, silent: bool) -> None:
        super().__init__(modality)
        self._silence = np.zeros(SPEAKING.dim, np.float32) if silent else None

    def push(self, sound: Sound) -> list[Sample]:
        found = []
        for sample in super().push(sound):
            values = self._silence if sample.values is None else sample.values[[_SPEECH]]
            found.append(replace(sample, values=values))
        return found
