"""Keeps the C++ of LiteRT and MediaPipe from writing to the user's terminal."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

# Log lines of MediaPipe, TensorFlow Lite and absl when a landmarker is created without an error.
_HARMLESS: Final = re.compile(rb"[IW]\d{4} |INFO: |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Hold back file descriptor 2; at the end write to it all lines but the harmless ones of those libraries.

    They have no setting for this, and write to the descriptor themselves.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no standard error
        yield
        return
    with tempfile.TemporaryFile() as log:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            log.seek(0)
            for line in log:
                if not _HARMLESS.match(line):
                    os.write(stderr, line)
            os.close(stderr)
