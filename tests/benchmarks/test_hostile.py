import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.hostile import arrow, bundles, changes, media, training, trial, xdf
from benchmarks.hostile.trial import LARGEST, LOG, Result, Trial

ROOT = Path(__file__).parents[2]
WHOLE = bytes(range(256)) * 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc")


@pytest.mark.parametrize("change", changes.BYTES, ids=lambda change: change.__name__)
def test_a_change_repeats_by_its_seed(change) -> None:
    different = 0
    for seed in range(100):
        data, again = bytearray(WHOLE), bytearray(WHOLE)
        change(data, random.Random(seed))
        change(again, random.Random(seed))
        assert data == again
        different += data != WHOLE
    assert different > 90


def test_a_changed_tree_repeats_and_keeps_what_it_must() -> None:
    tree = {"rounds": 3, "model": {"hidden": 8, "names": ["a", "b"]}, "rate": 25}
    same = 0
    for seed in range(200):
        first = changes.changed_tree(tree, random.Random(seed), keep=frozenset({"rounds", "rate"}))
        again = changes.changed_tree(tree, random.Random(seed), keep=frozenset({"rounds", "rate"}))
        assert first[0] == again[0]
        if "deep" in first[0]:
            continue
        assert first[1] == again[1] or "nan" in first[0]
        assert first[1]["rounds"] == 3
        assert first[1]["rate"] == 25
        same += repr(first[1]) == repr(tree)
    assert same < 20
    assert tree["model"] == {"hidden": 8, "names": ["a", "b"]}


@pytest.mark.parametrize("module", [media, arrow, xdf, bundles], ids=lambda module: module.__name__)
def test_inputs_of_a_kind_differ(module, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    module.prepare(seeds)
    labels = set()
    for number in range(20):
        place = tmp_path / str(number)
        place.mkdir()
        made = module.make(random.Random(number), seeds, place)
        assert made.command[0] in ("replay", "inspect", "plot")
        labels.add(made.label)
    assert len(labels) > 15


def test_inputs_of_training_differ(tmp_path: Path) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    for number in range(60):
        tree = training._config("data")
        label, changed = changes.changed_tree(tree, random.Random(number), keep=training._WORK)
        if "deep" not in label:
            assert training.toml(changed) != training.toml(tree)


@pytest.mark.parametrize(
    ("status", "resident", "log", "failures"),
    [
        (0, 100, "75 ticks", []),
        (2, 100, "enrapt: no recording", []),
        (2, 100, "usage: …\nenrapt replay: error: no", []),
        (1, 100, "s: marks.arrows: cut; what came after 1 s is lost", []),
        (2, 100, "all is lost", ["exit status 2 without a line"]),
        (1, 100, "", ["exit status 1 without a line"]),
        (-11, 100, "", ["exit status -11"]),
        (1, 100, "enrapt: a\nTraceback (most recent call last):\nKeyError: 1", ["traceback: KeyError: 1"]),
        (0, LARGEST + 1, "", [f"{LARGEST + 1:.0f} MB"]),
    ],
)
def test_what_is_wrong(tmp_path: Path, status: int, resident: float, log: str, failures: list[str]) -> None:
    (tmp_path / LOG).write_text(log)
    assert trial.wrong(Result(status, 1.0, resident), Trial("", []), tmp_path) == failures


@pytest.mark.parametrize(
    ("name", "whole", "broken"),
    [
        ("e.jsonl", '{"tick": 0}\n', ['{"tick": 0}\n{"ti', '{"tick": NaN}\n']),
        ("e.csv", "a,b\n1,2\n", ["a,b\n1\n", "a,b\n1,nan\n"]),
        ("e.html", "<html></html>\n", ["<html>"]),
        ("e.parquet", None, ["PAR1"]),
    ],
)
def test_outputs_are_whole(tmp_path: Path, name: str, whole: str | None, broken: list[str]) -> None:
    (tmp_path / LOG).touch()
    output = tmp_path / name
    given = Trial("", [], (output,)), tmp_path
    assert trial.wrong(Result(0, 1.0, 100.0), *given) == []
    if whole is not None:
        output.write_text(whole)
        assert trial.wrong(Result(0, 1.0, 100.0), *given) == []
    for text in broken:
        output.write_text(text)
        assert len(trial.wrong(Result(0, 1.0, 100.0), *given)) == 1
    output.with_name(f"{name}.part").touch()
    assert len(trial.wrong(Result(0, 1.0, 100.0), *given)) == 2


def test_a_command_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, a hang and a hog, each in a fork that does as a command might."""
    most = psutil.Process().memory_info().rss / 1e6 + 300  # MB; a fork begins with what this process has
    monkeypatch.setattr(trial, "KILLED_AT", most)
    hog = f"import time; data = bytearray({round((most + 100) * 1e6)}); time.sleep(99)"
    for code, longest, expected in (
        ("import os; os.abort()", 20.0, "exit status -6"),
        ("import time; time.sleep(99)", 0.5, "runs for more"),
        (hog, 20.0, f"{most:.0f} MB"),
    ):
        monkeypatch.setattr(
            trial, "_enrapt", lambda *_, code=code: os.execv(sys.executable, [sys.executable, "-c", code])
        )
        monkeypatch.setattr(trial, "LONGEST", longest)
        (tmp_path / LOG).touch()
        assert expected in trial.run(Trial("", []), tmp_path).failures[0]


def hostile(*arguments: str) -> str:
    """What it printed. In a process of its own: what it forks begins with the memory of its parent."""
    program = [sys.executable, "-m", "benchmarks.hostile", *arguments, "--seed", "3"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_few_of_a_kind() -> None:
    assert "xdf            5" in hostile("--kinds", "xdf", "--part", "1/40")


def test_one_input_again() -> None:
    printed = hostile("--only", "arrow:1")
    assert "marks.arrows: kind one zstd; inspect" in printed
    assert "a compressed batch" in printed  # what the command printed
