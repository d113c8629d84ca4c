"""`enrapt demo` in a process of its own."""

import re
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from enrapt.cli.demo import compared, simulated
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.truth import Truth


@pytest.fixture(scope="module")
def demo(face_model, tmp_path_factory):
    """Where it ran without what only extras install, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    base = (
        "import sys; sys.modules.update(dict.fromkeys(('pyarrow', 'pylsl', 'scipy', 'torch'))); "
        "from enrapt.cli.main import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", base, "demo", "--face-model", str(face_model), "--offline"]
    return folder, subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


def test_it_writes_estimates_and_a_plot(demo):
    where, done = demo
    assert done.returncode == 0, done.stderr
    folder = where / "enrapt-demo"
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["engagement.html", "engagement.png", "estimates.jsonl"]
    assert str(folder.name) in done.stdout
    assert (folder / "engagement.png").read_bytes().startswith(b"\x89PNG")

    lines = (folder / "estimates.jsonl").read_bytes().splitlines()
    estimates = [msgspec.json.decode(line, type=Estimate) for line in lines]
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    assert all(0 <= e.engagement.low <= e.engagement.mean <= e.engagement.high <= 1 for e in estimates)
    # The clip hides the face for about twelve seconds, and later the sound, never both.
    for modality in ("face", "audio"):
        missing = sum(not e.present[modality] for e in estimates) / 25
        assert 11 < missing < 13
    assert all(any(e.present.values()) for e in estimates)

    # As the README says, the interval hardly changes while the face is out of sight: it tells little.
    def width(first: float, last: float) -> float:
        widths = [e.engagement.high - e.engagement.low for e in estimates if first <= e.t < last]
        return float(np.median(widths))

    for before, away in ((16, 28), (36, 28)):
        assert width(away, away + 4) == pytest.approx(width(before, before + 4), abs=0.1)


def test_the_truth_covers_the_clip():
    truth = simulated()
    assert truth.times[0] == 0
    assert truth.times[-1] == pytest.approx(65, abs=0.3)
    assert np.ptp(truth.values) >= 0.5  # the rule by which the conversation was chosen
    assert all(0 <= value <= 1 for value in truth.values)


def test_the_truth_is_shown_beside_the_estimate(demo):
    where, done = demo
    assert done.stdout.count("simulated truth") == 1
    assert re.search(r"simulated truth the estimate differs by 0\.\d\d on average", done.stdout)
    widths = r"\(median\): 0\.\d\d with all inputs, 0\.\d\d without audio, 0\.\d\d without face"
    assert re.search(widths, done.stdout)
    page = (where / "enrapt-demo" / "engagement.html").read_text()
    assert '"truth":{"label":"simulated truth","t":[0.0,0.2,' in page


def test_a_comparison_of_estimates_with_the_truth():
    estimates = [
        Estimate(
            tick=k,
            t=float(k),
            engagement=Engagement(0.5, 0.1, 0.4, 0.6 if k < 3 else 0.9),
            present={"face": k < 3, "audio": True},
            age_ms={"face": None, "audio": None},
            surprise={"face": None, "audio": None},
        )
        for k in range(4)
    ]
    differs, inside = compared(estimates, Truth("truth", [0.0, 1.0, 2.0], [0.5, 0.7, 0.6]))
    assert "differs by 0.10 on average, a constant (the truth's mean) by 0.05" in differs
    assert "75% of the time" in inside
    assert "0.20 with all inputs, 0.50 without face" in inside


def test_a_folder_that_cannot_be_made(command, face_model, tmp_path):
    (tmp_path / "file").touch()
    done = command("demo", "-o", "file/folder", "--face-model", face_model)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "another folder" in line
