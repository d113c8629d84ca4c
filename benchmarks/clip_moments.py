"""Means and spreads of `face/1` and `audio/1` on real clips → `models/datasets/moments.json`.

    python benchmarks/clip_moments.py CLIPS_FOLDER FACE_MODEL

The simulator of conversations draws features with these moments. Blendshapes are described by their logits,
spectra relative to the level of the same tick; every clip has the same weight. Only the moments over all
clips are kept.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.schemas import AUDIO, BLENDSHAPES, MEL_BINS
from enrapt.models.datasets.conversation import LOGIT_EDGE
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame

Array = NDArray[np.float64]
FACTORS, SHAPES = 10, 8
TO_NATS = np.log(10) / 10  # ln power per dB


def features(clip: Path, model: Path) -> tuple[Array, Array]:
    """Face `[n, 57]` and audio `[m, 44]` of a clip, where present."""
    faces, audio, extractor = [], [], AudioFeatures("audio")
    face = FaceOptions(model).open()
    for piece in Recording(clip):
        if isinstance(piece, Frame):
            faces.append(face.extract(piece.image, piece.originating_time)[0])
        else:
            audio += [sample.values for sample in extractor.push(piece)]
    return (
        np.array([v for v in faces if v is not None], np.float64).reshape(-1, 57),
        np.array([v for v in audio if v is not None], np.float64).reshape(-1, 44),
    )


def logit(share: Array) -> Array:
    share = np.clip(share, LOGIT_EDGE, 1 - LOGIT_EDGE)
    return np.log(share / (1 - share))


def lag1(clips: list[Array]) -> Array:
    """Autocorrelation from one tick to the next, pooled over clips, within them."""
    centred = [c - c.mean(0) for c in clips]
    cross = sum((c[:-1] * c[1:]).mean(0) for c in centred)
    return np.asarray(np.clip(cross / (sum((c**2).mean(0) for c in centred) + 1e-12), 0.0, 0.98))


def components(clips: list[Array], count: int) -> tuple[Array, Array, Array]:
    """The leading principal components within clips, `[count, D]`, scaled to one standard deviation; the
    residual standard deviation `[D]`; and each component's lag-1 autocorrelation `[count]`."""
    centred = [c - c.mean(0) for c in clips]
    covariance = sum(c.T @ c / len(c) for c in centred) / len(centred)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    loadings = (vectors * np.sqrt(values)).T
    rest = np.sqrt(np.clip(np.diag(covariance) - (loadings**2).sum(0), 0, None))
    return loadings, rest, lag1([c @ vectors for c in centred])


def moments(clips: list[tuple[Array, Array]]) -> dict[str, Any]:
    face = [f for f, _ in clips if len(f) > 25]
    shapes = [logit(f[:, : len(BLENDSHAPES)]) for f in face]
    means = np.array([s.mean(0) for s in shapes])
    loadings, rest, memory = components(shapes, FACTORS)
    pose = [f[:, len(BLENDSHAPES) :] for f in face]

    speech, speech_voiced, noise = [], [], []
    for _, a in clips:
        relative = a[:, :MEL_BINS] - TO_NATS * a[:, [AUDIO.index("level")]]
        speaking = a[:, AUDIO.index("speech")] >= 0.75
        quiet = (a[:, AUDIO.index("speech")] < 0.25) & (a[:, AUDIO.index("level")] > -90)
        if speaking.sum() > 10:
            speech.append(relative[speaking])
            speech_voiced.append(a[speaking, AUDIO.index("voicing")] >= 0.45)
        if quiet.sum() > 5:
            noise.append(relative[quiet])
    voiced = np.array([s[v].mean(0) for s, v in zip(speech, speech_voiced, strict=True)])
    unvoiced = np.array([s[~v].mean(0) for s, v in zip(speech, speech_voiced, strict=True)])
    classed = [
        np.where(v[:, None], s - s[v].mean(0), s - s[~v].mean(0))
        for s, v in zip(speech, speech_voiced, strict=True)
    ]
    spectra, spectra_rest, spectra_memory = components(classed, SHAPES)
    noises = np.array([n.mean(0) for n in noise])
    return {
        "clips": len(clips),
        "blendshapes": {
            "mean": means.mean(0),
            "between": means.std(0),
            "factors": loadings,
            "factor_memory": memory,
            "rest": rest,
            "rest_memory": lag1(shapes),
        },
        "pose": {
            "mean": np.mean([p.mean(0) for p in pose], 0),
            "between": np.std([p.mean(0) for p in pose], 0),
            "within": np.median([p.std(0) for p in pose], 0),
        },
        "speech": {
            "voiced": voiced.mean(0),
            "unvoiced": unvoiced.mean(0),
            "between": (0.5 * (voiced.std(0) + unvoiced.std(0))),
            "factors": spectra,
            "factor_memory": spectra_memory,
            "rest": spectra_rest,
        },
        "noise": {
            "mean": noises.mean(0),
            "between": noises.std(0),
            "within": np.median([n.std(0) for n in noise], 0),
        },
    }


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return np.round(value, 4).tolist() if isinstance(value, np.ndarray) else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="CLIPS_FOLDER")
    parser.add_argument("model", type=Path, metavar="FACE_MODEL")
    args = parser.parse_args()
    table = rounded(moments([features(clip, args.model) for clip in sorted(args.folder.iterdir())]))
    target = Path(__file__).parents[1] / "models" / "datasets" / "moments.json"
    target.write_text(json.dumps(table).replace('}, "', '},\n"').replace('], "', '],\n "') + "\n")
    print(f"{target}: moments of {table['clips']} clips")
