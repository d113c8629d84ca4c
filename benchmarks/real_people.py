"""Surprise of a bundle on real clips, compared with simulated people.

    python benchmarks/real_people.py CLIPS_FOLDER [--bundle default] [--face-model FILE]

The bundle's description has the 99th percentile of the surprise (nats) of each modality on held-out simulated
people. This prints the share of ticks with a surprise below it, per clip and overall. The simulator's means
and spreads come from these clips: the result shows that it covers them, not that it covers everyone.
"""

import argparse
from pathlib import Path

import numpy as np

from enrapt.bundle.bundle import Bundle
from enrapt.realtime import MediaSource, Run
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.model_file import find_face_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--face-model", type=Path)
    args = parser.parse_args()
    metadata = Bundle.load(args.bundle).metadata
    limits = {m.name: metadata.quality["all"][f"surprise99_{m.name}"] for m in metadata.inputs}
    shares: dict[str, list[np.ndarray]] = {name: [] for name in limits}
    print(f"{'clip':40s} {'face found':>10s} " + " ".join(f"{n + ' < p99':>12s}" for n in limits))
    for clip in sorted(args.clips.iterdir()):
        with Run(MediaSource(clip, faces=FaceOptions(find_face_model(args.face_model))), args.bundle) as run:
            estimates = list(run)
        line = f"{clip.name:40s} {np.mean([e.present['face'] for e in estimates]):10.1%} "
        for name, limit in limits.items():
            surprise = np.array([e.surprise[name] for e in estimates if e.surprise[name] is not None])
            shares[name].append(surprise < limit)
            line += f" {np.mean(surprise < limit):12.1%}" if surprise.size else f" {'-':>12s}"
        print(line)
    for name, parts in shares.items():
        ticks = np.concatenate(parts)
        print(f"{name}: {ticks.mean():.1%} of {ticks.size} ticks below {limits[name]:.1f} nats")


if __name__ == "__main__":
    main()
