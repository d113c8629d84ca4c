"""Make `cli/demo.mp4`, the clip of `enrapt demo`, and `cli/engagement.simulation.csv`, its true engagement.

    apt install espeak-ng
    python -m venv /tmp/clip && /tmp/clip/bin/pip install '.[train]' scikit-image
    /tmp/clip/bin/python benchmarks/make_demo_clip.py [--face-model FILE]

The clip shows one simulated conversation (`models/datasets`): the first seed, from 0, whose engagement spans
0.5 or more within the clip. Nothing of it was chosen by what a model makes of it. `demo_portrait.py` moves a
portrait by the simulated blendshapes and pose: NASA's of the astronaut Eileen Collins, in the public domain;
scikit-image ships it. `demo_voice.py` lets espeak-ng speak in the simulated turns. During `AWAY` the camera
looks elsewhere, and during `SILENT` the sound is digital silence; the simulator's own gaps are left out.

At the end it prints how far the features measured in the clip follow the simulated ones, and how far the
shipped bundle's estimate is from the truth where it gets the simulated features, with the same gaps.
"""

import argparse
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from demo_portrait import SIZE, Portrait
from demo_voice import RATE, measured, sound
from numpy.typing import NDArray

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.sequence import initial_states, run_sequence
from enrapt.cli.demo import CLIP, TRUTH
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.models.datasets.behaviour import Behaviour, behave, draw_engagement
from enrapt.models.datasets.conversation import moments
from enrapt.models.datasets.people import draw_people
from enrapt.models.datasets.simulated_face import face
from enrapt.models.datasets.simulated_voice import voice
from enrapt.realtime.features.face.extractor import FaceFeatures
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.study import labels, ratings

SECONDS: Final = 65
FPS: Final = 25  # pictures, and ticks of the simulator
SPAN: Final = 0.5  # of the true engagement
AWAY: Final = (20.0, 32.0)  # s, no face
SILENT: Final = (44.0, 56.0)  # s, no sound
PAN: Final = 0.6  # s
VIEW: Final = (246.0, 168.0, 400.0)  # centre and width, pixels of the portrait
ELSEWHERE: Final = (414.0, 170.0, 190.0)  # the model of the shuttle
# A flat portrait turned far is not recognised as the same person, so the mean of the head's angles over so
# many seconds is left out. The simulator's slow drift does not depend on engagement; nods are fast.
SLOW: Final = 10.0
EVERY: Final = 5  # ticks for a row of the truth

Array = NDArray[np.float64]


def simulated() -> tuple[int, Behaviour, NDArray[np.float32], NDArray[np.float32]]:
    """Seed, behaviour, values of `face/1` and `audio/1` `[T, D]`; drawn as `conversation.simulate` does."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        people = draw_people(rng, 1)
        engagement = draw_engagement(rng, 1, SECONDS * FPS, FPS)
        if np.ptp(engagement) < SPAN:
            continue
        behaviour = behave(rng, people, engagement, FPS)
        seen, _ = face(rng, people, behaviour, moments(), FPS)
        heard, _ = voice(rng, people, behaviour, moments(), FPS)
        return seed, behaviour, seen[:, 0], heard[:, 0]
    raise AssertionError("no such conversation")


def actions(seen: NDArray[np.float32], at_rest: NDArray[np.bool_]) -> tuple[dict[str, Array], Array, Array]:
    """What `Portrait.picture` takes at each tick: shapes, turn `[T, 3]`, shift `[T, 3]`."""
    rest = np.median(seen[at_rest], 0)
    change = (seen - rest).astype(float)

    def of(name: str) -> Array:
        return change[:, FACE.index(name)]

    def at(name: str) -> Array:
        return np.maximum(of(name), 0)

    smile = np.maximum(of("mouthSmileRight"), of("mouthSmileRight"))
    shapes = {"smile": np.clip(smile, 0, 1), "jaw": at("jawOpen"), "browInner": at("browInnerUp")}
    for side in ("Left", "Right"):
        shapes[f"browOuter{side}"] = at(f"browOuterUp{side}")
        shapes[f"blink{side}"] = of(f"eyeBlink{side}") / (1 - rest[FACE.index(f"eyeBlink{side}")])
    left = of("eyeLookInLeft") + of("eyeLookOutRight")
    shapes["right"] = (of("eyeLookOutLeft") + of("eyeLookInRight") - left) / 2
    down = of("eyeLookDownLeft") + of("eyeLookDownRight")
    shapes["up"] = (of("eyeLookUpLeft") + of("eyeLookUpRight") - down) / 2
    turn, ones = change[:, -6:-3], np.ones(round(SLOW * FPS))
    share = 1 / np.convolve(np.ones(len(turn)), ones, "same")[:, None]
    turn = turn - share * np.stack([np.convolve(axis, ones, "same") for axis in turn.T], -1)
    return shapes, turn, change[:, -3:]


def looking(t: float) -> float:
    """0 while the camera looks at the person, 1 while it looks elsewhere."""
    u = np.clip(min(t - AWAY[0], AWAY[1] - t) / PAN, 0, 1)
    return float(u * u * (3 - 2 * u))


def pan(share: float) -> Array:
    """The camera's turn as a map of pixels, `[2, 3]`."""
    x, y, width = (1 - share) * np.array(VIEW) + share * np.array(ELSEWHERE)
    zoom, scale = VIEW[2] / width, SIZE[0] / VIEW[2]
    middle = np.array(SIZE) / 2
    offset = middle - zoom * (middle + scale * np.array([x - VIEW[0], y - VIEW[1]]))
    return np.column_stack([zoom * np.eye(2), offset])


def write(clip: Path, pictures: list[NDArray[np.uint8]], samples: NDArray[np.float32]) -> None:
    unfinished = clip.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w", options={"movflags": "faststart"}) as container:
        options = {"crf": "30", "preset": "slow", "g": "125"}
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, options={"aac_pns": "0"})
        audio.layout, audio.bit_rate = "mono", 56_000
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            container.mux(video.encode(frame))
            # The sound of this frame, so that the file is interleaved.
            for i in range(*(-(-n * RATE // FPS // 1024) * 1024 for n in (k, k + 1)), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, i : i + 1024], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = RATE, i, Fraction(1, RATE)
                container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    unfinished.replace(clip)


def compare(
    model: Path,
    pictures: list[NDArray[np.uint8]],
    samples: Array,
    seen: NDArray[np.float32],
    heard: NDArray[np.float32],
    own: NDArray[np.bool_],
) -> None:
    """Print the correlation of features measured in pictures and sound with the simulated ones."""
    extractor = FaceFeatures(model)
    values = [extractor.extract(p, round(k * 1e9 / FPS))[0] for k, p in enumerate(pictures)]
    there = np.array([v is not None for v in values])
    found = np.array([v for v in values if v is not None])
    print(f"face found in {there.mean():.1%} of pictures; correlation with the simulated feature:")
    names = ("yaw", "pitch", "roll", "z", "browInnerUp", "eyeBlinkLeft", "eyeLookOutLeft", "eyeLookDownLeft",
             "jawOpen", "mouthSmileRight")  # fmt: skip
    for name in names:
        i = FACE.index(name)
        print(f"  {name:16s} {np.corrcoef(found[:, i], seen[there, i])[0, 1]:.2f}")
    audio = measured(samples)
    ticks = min(len(audio), len(heard))
    for name in ("level", "f0"):
        i, mine = AUDIO.index(name), own[:ticks]
        both, speech = (
            np.corrcoef(audio[:ticks, i][m], heard[:ticks, i][m])[0, 1] for m in (mine | True, mine)
        )
        print(f"  {name:16s} {both:.2f}, own speech {speech:.2f}")


def estimated(seen: NDArray[np.float32], heard: NDArray[np.float32]) -> Array:
    """The shipped bundle's mean given the simulated features, `[T]`."""
    bundle = Bundle.load("default")
    t = np.arange(len(seen)) / FPS
    there = {
        "face": (t < AWAY[0] + PAN / 2) | (t >= AWAY[1] - PAN / 2),
        "audio": (t < SILENT[0]) | (t >= SILENT[1]),
    }
    nobody = np.zeros(len(t), bool)
    mask = np.stack([there.get(m.name, nobody) for m in bundle.metadata.inputs], -1)[None]
    feed = {"face": seen[None], "audio": heard[None], "mask": mask.astype(np.float32)}
    outputs, _ = run_sequence(bundle, feed, initial_states(bundle, 1))
    return np.asarray(outputs["engagement_mean"][0, :, 0], float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--face-model", metavar="FILE", type=Path)
    args = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is missing: apt install espeak-ng")
    from skimage import data

    model = find_face_model(args.face_model)
    seed, behaviour, seen, heard = simulated()
    own, partner = behaviour.speaking[:, 0], behaviour.partner[:, 0]
    calm = (np.hypot(behaviour.gaze_x, behaviour.gaze_y) < 0.03) & (behaviour.blink < 0.05)
    at_rest = (calm & (behaviour.smile < 0.05) & (behaviour.brow < 0.05))[:, 0] & ~own
    shapes, turn, shift = actions(seen, at_rest)
    portrait = Portrait(data.astronaut(), VIEW, model)
    pictures = [
        portrait.picture({n: s[k] for n, s in shapes.items()}, turn[k], shift[k], pan(looking(k / FPS)))
        for k in range(SECONDS * FPS)
    ]
    samples = sound(heard, own, partner, FPS)
    full = samples.copy()
    samples[round(SILENT[0] * RATE) : round(SILENT[1] * RATE)] = 0
    write(CLIP, pictures, samples.astype(np.float32))
    engagement = behaviour.engagement[::EVERY, 0].astype(float).round(4)
    dimension, rater = TRUTH.stem.split(".")
    times = np.arange(len(engagement)) * EVERY / FPS
    labels.write(ratings.Trace(rater, dimension, times, engagement), TRUTH, overwrite=True)
    TRUTH.chmod(0o644)
    truth = behaviour.engagement
    print(f"seed {seed}: engagement {truth.min():.2f} to {truth.max():.2f}")
    print(f"{CLIP}: {CLIP.stat().st_size / 1e3:.0f} kB; {TRUTH}: {TRUTH.stat().st_size / 1e3:.1f} kB")
    compare(model, pictures, full, seen, heard, own)
    error = np.abs(estimated(seen, heard) - truth[:, 0]).mean()
    print(f"from the truth the estimate on simulated features differs by {error:.2f} on average")


if __name__ == "__main__":
    main()
