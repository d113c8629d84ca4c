"""The `enrapt` command: parses the command line and runs one subcommand.

Exit status 0: success. 1: partial result, or the check failed. 2: an error that the user can fix, reported in
one line. 130: interrupted. 141: the reader of the output has closed it (SIGPIPE in a shell).
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn, TextIO, cast

from ..contracts.addresses import without_passwords
from ..contracts.console import Lenient, Plain, printable, reserve_standard_descriptors
from ..contracts.errors import UserError, on_one_line
from .show import interrupts_kept

# Each is a module of this package with `add_arguments(parser)` and `run(args) -> int`, and imports quickly.
# Its docstring is the command's description.
COMMANDS: Final = {
    "demo": "see it work on a shipped clip",
    "live": "estimate engagement from a camera and a microphone",
    "record": "as live, and keep features and estimates (needs enrapt[record])",
    "replay": "estimate engagement in a recording",
    "extract": "make sessions of recordings (needs enrapt[record])",
    "features": "write the features of sessions as a table (needs enrapt[record])",
    "calibrate": "adapt estimates to one person, and keep that as a profile",
    "plot": "draw a session",
    "study": "keep one's own sessions and their labels together, and check them",
    "annotate": "rate a recording in the browser",
    "import": "take labels or features from another program's file",
    "train": "train a model (needs enrapt[train])",
    "distil": "distil a live model from a trained MDVAE (needs enrapt[train])",
    "encode": "replace modalities of sessions by a model's latents (needs enrapt[train])",
    "evaluate": "score a trained model on held-out people (needs enrapt[train])",
    "export": "write the bundle of a trained model (needs enrapt[train])",
    "inspect": "print what a bundle or a recording is",
    "face-model": "fetch the face model",
    "doctor": "check this computer for what enrapt needs",
}


class _Parser(argparse.ArgumentParser):
    """Its errors quote arguments, among which there may be addresses."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(printable(without_passwords(message, self._given)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = _Parser(
        prog="enrapt",
        description="Real-time engagement estimation from a webcam and a microphone, with its uncertainty.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = importlib.import_module(f".{name.replace('-', '_')}", __package__)
        subparser = subparsers.add_parser(name, help=summary, description=command.__doc__)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    args = parser.parse_args(arguments)
    reserve_standard_descriptors()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(Plain(cast(TextIO, Lenient(sys.stderr)))))
        if sys.stdout is not None:
            stack.enter_context(contextlib.redirect_stdout(Plain(sys.stdout)))
        stack.enter_context(interrupts_kept())
        status = _run(args, arguments)
    if argv is None:  # the interpreter ends now, and would print where a second Ctrl-C met it
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    return status


def _run(args: argparse.Namespace, arguments: Sequence[str]) -> int:
    try:
        status: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can be handled
    except UserError as error:
        # A name in a file may have any characters.
        print(f"enrapt: {without_passwords(on_one_line(str(error)), arguments)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Python flushes standard output again at exit: discard that output.
        with contextlib.suppress(OSError):  # it is closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"enrapt: {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
