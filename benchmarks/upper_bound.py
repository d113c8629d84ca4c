"""How well can anything estimate the engagement of simulated people?

    python benchmarks/upper_bound.py [--seed 0] [--groups 2] [--particles 500]

A particle filter that knows the simulator's equations, on held-out people of `benchmarks/engagement.py`. It
sees without error whose turn it is and who speaks, where the person looks, and every nod, smile and raised
brow, where the simulated camera and microphone give anything. Of what engagement shifts by a little (posture,
loudness) it sees the shift in the simulator's noise, around a resting value that it does not know; the melody
of speech it sees without error, around a known mean. It runs twice: knowing each person's habits (how much
engagement changes each behaviour, how much the person talks and pauses), and not knowing them. How restless a
person is it always knows. The shipped bundle gets the features of the same people, not the behaviour.

What is approximate in it:

- A duration depends on engagement at its start; here its hazard at each tick depends on engagement there.
- What depends on the session's mean gets that of the past and of what is expected of the rest.
- Whose turn it will be is known from the beginning of the silence before it.
- Noise of loudness and the head's sway is white, of the simulated noise's power at slow frequencies.
- Frames that a slow camera repeats, octave errors and the mean of pitch, the partner's back-channels, and a
  voice lost in a loud room are left out.
- Particles are few: with unknown habits more of them find more, so those figures are from below.

A filter uses everything up to a tick, a smoother everything.
"""

import argparse
import time
from typing import Final

import numpy as np
from engagement_filter import Course, follow
from simulated_cues import CUES, RATE, TICKS, see

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.sequence import initial_states, run_sequence
from enrapt.models.data import FIRST, PEOPLE
from enrapt.models.datasets.conversation import simulate
from enrapt.models.metrics import concordance, coverage

SEES: Final = {  # cues by what is present; `engagement.py` has the same patterns
    "face and audio": tuple(CUES),
    "face only": tuple(cue for cue, modality in CUES.items() if modality == "face"),
    "audio only": tuple(cue for cue, modality in CUES.items() if modality == "audio"),
}
PRESENT: Final = {"face and audio": ("face", "audio"), "face only": ("face",), "audio only": ("audio",)}


def shipped(seed: int, groups: int, present: tuple[str, ...]) -> np.ndarray:
    """The shipped bundle's mean, `[T, P]`."""
    bundle, means = Bundle.load("default"), []
    for number in range(groups):
        sessions = simulate(np.random.default_rng((seed, FIRST["test"] + number)), PEOPLE, TICKS, RATE)
        feed = {name: np.nan_to_num(sessions.values[name]) for name in ("face", "audio")}
        masks = [
            sessions.available[m.name] & (m.name in present)
            if m.name in sessions.available
            else np.zeros((PEOPLE, TICKS), bool)
            for m in bundle.metadata.inputs
        ]
        feed["mask"] = np.stack(masks, -1).astype(np.float32)
        outputs, _ = run_sequence(bundle, feed, initial_states(bundle, PEOPLE))
        means.append(outputs["engagement_mean"][..., 0].T)
    return np.concatenate(means, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", type=int, default=2, help="of 128 people, 6 at most (%(default)s)")
    parser.add_argument("--particles", type=int, default=500, help="of each person (%(default)s)")
    parser.add_argument("--cues", action="store_true", help="each cue alone, too")
    args = parser.parse_args()
    groups = [see(args.seed, group) for group in range(args.groups)]
    truth = np.concatenate([group.engagement for group in groups], 1)
    print(f"{truth.shape[1]} people, {args.particles} particles; CCC, and share inside the 90 % interval")
    sees = SEES | ({cue: (cue,) for cue in CUES} if args.cues else {})
    for name, cues in sees.items():
        if name in PRESENT:
            mean = shipped(args.seed, args.groups, PRESENT[name])
            print(f"{name:15s} shipped bundle {concordance(truth, mean):.3f}", flush=True)
        for known in (True, False):
            began = time.perf_counter()
            rngs = [np.random.default_rng((args.seed, k, 7)) for k in range(args.groups)]
            parts = [follow(g, cues, args.particles, known, r) for g, r in zip(groups, rngs, strict=True)]
            course = Course(*(np.concatenate(part, 1) for part in zip(*parts, strict=True)))
            print(
                f"{name:15s} habits {'known  ' if known else 'unknown'}"
                f" filter {concordance(truth, course.mean):.3f}"
                f" ({coverage(truth, course.low, course.high):.1%}),"
                f" smoother {concordance(truth, course.smooth):.3f}   {time.perf_counter() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
