"""Writing fails, as on a full disk."""

import contextlib
import sys
from collections.abc import Iterator

import pytest

needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes")


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes fails, after as much as still fits."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
