import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.bundle.metadata import Metadata
from enrapt.cli.main import main


def test_the_card_shows_what_a_user_must_know(tiny_bundle, capsys):
    assert main(["inspect", str(tiny_bundle)]) == 0
    card = capsys.readouterr().out
    for part in (
        "tiny 1", "25 per second, causal", "MB, graph: step", "µs per tick on this machine",
        "face: 57 numbers, face/1", "audio: 44 numbers, audio/1", "present for 0.25 s",
        "target        engagement", "Nothing was learned.", "Shows its inputs, no more.", "MIT", "ccc 0",
    ):  # fmt: skip
        assert part in card


@pytest.mark.parametrize("columns", ["40", "80", "400"])
def test_the_card_fits_the_terminal(tiny_bundle, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    main(["inspect", str(tiny_bundle)])
    lines = capsys.readouterr().out.splitlines()
    hexadecimal = Bundle.load(tiny_bundle).metadata.sha256  # never wrapped, to be copied
    assert all(len(line) <= min(int(columns), 100) or hexadecimal in line for line in lines)


def test_json_has_all_metadata_with_size_and_speed(tiny_bundle, capsys):
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown.pop("bytes") == tiny_bundle.stat().st_size
    assert 0 < shown.pop("tick_us") < 1e5
    assert msgspec.convert(shown, Metadata) == Bundle.load(tiny_bundle).metadata


def test_no_such_bundle(capsys):
    assert main(["inspect", "nowhere.onnx"]) == 2
    assert "nowhere.onnx" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "enrapt.cli.main", "inspect", "default"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert done.stderr == "enrapt: the output: No space left on device\n"
