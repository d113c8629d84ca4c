"""Writes what trained models make of recorded sessions: their latents instead of the modalities they take.

For models in two stages: train a VQ-VAE of each modality, encode the sessions with them, and train an MDVAE
on the result. All other arrays of the sessions, such as labels, are copied.
"""

import argparse
from pathlib import Path

from .train import require_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", metavar="RUN", type=Path, nargs="+", help="output folders of `enrapt train`")
    add("--sessions", metavar="FOLDER", type=Path, required=True, help="with train, validation and test")
    add("-o", "--output", metavar="FOLDER", type=Path, required=True, help="a new folder of sessions")


def run(args: argparse.Namespace) -> int:
    require_training()
    from ..models.encoding import encode_sessions
    from ..models.run_folder import load

    files, arrays = encode_sessions([load(run) for run in args.runs], args.sessions, args.output)
    sizes = ", ".join(f"{name} of {size}" for name, size in arrays.items())
    print(f"{args.output}: {files} sessions, with {sizes}")
    return 0
