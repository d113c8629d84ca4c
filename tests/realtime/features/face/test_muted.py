"""Log lines of the libraries' C++ do not reach the terminal; other lines do."""

import os

import pytest

from enrapt.realtime.features.face.muted import muted


def test_other_lines_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with muted():
        os.write(2, b"W0000 00:00:1.5  7 graph.cc:1] harmless\nINFO: Created\nE0000 bad.cc:2] an error\nours")
    os.write(2, b" after")
    assert capfd.readouterr().err == "E0000 bad.cc:2] an error\nours after"
