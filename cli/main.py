"""The `enrapt` command: finds the subcommand, runs it, and turns its end into an exit status.

0: done. 1: done in part, or the answer is no. 2: something the user can mend, told in one line.
130: interrupted. 141: whoever read our output has gone, as the shell has it for SIGPIPE.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from ..contracts.errors import UserError

# Each is a module here with `add(subparsers)`, which is quick to import, and `run(args) -> int`.
COMMANDS: Final = (
    "demo",
    "live",
    "record",
    "replay",
    "plot",
    "train",
    "distil",
    "evaluate",
    "export",
    "inspect",
    "doctor",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status."""
    parser = argparse.ArgumentParser(
        prog="enrapt",
        description="Real-time engagement estimation from a webcam and a microphone, with its uncertainty.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        importlib.import_module(f".{command}", __package__).add(subparsers)
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()  # here, where a reader that has gone can be told from a fault
    except UserError as error:
        print(f"enrapt: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes standard output once more at its end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


if __name__ == "__main__":
    sys.exit(main())
