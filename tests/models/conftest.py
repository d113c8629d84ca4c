import numpy as np
import pytest

from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame


@pytest.fixture(scope="session")
def clip_features(shared, face_model):
    """Extracted features of real clips, where present: face `[n, 57]` and audio `[m, 44]` each.

    Clips without sound proper are left out of audio.
    """
    clips = []
    for path in sorted((shared / "clips").iterdir()):
        faces, sounds, audio = [], [], AudioFeatures("audio")
        face = FaceOptions(face_model).open()
        for piece in Recording(path, end=3.0):
            if isinstance(piece, Frame):
                faces.append(face.extract(piece.image, piece.originating_time)[0])
            else:
                sounds += [sample.values for sample in audio.push(piece)]
        clip = {
            "face": np.array([v for v in faces if v is not None]),
            "audio": np.array([v for v in sounds if v is not None]),
        }
        if len(clip["audio"]) and clip["audio"][:, 40].max() < -90:
            clip["audio"] = clip["audio"][:0]
        clips.append(clip)
    return clips
