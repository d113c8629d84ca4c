import random
from pathlib import Path

import pytest

from benchmarks.mutated import LARGEST, MUTATIONS, Result, found, make_seeds, mutated

WHOLE = bytes(range(256)) * 20


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_repeats_by_its_seed_and_changes_the_file(mutation: str) -> None:
    for seed in range(100):
        data = mutated(WHOLE, mutation, random.Random(seed))
        assert data == mutated(WHOLE, mutation, random.Random(seed))
        assert len(data) < len(WHOLE) if mutation == "truncated" else len(data) == len(WHOLE)
    if mutation == "swapped":
        assert sorted(data) == sorted(WHOLE)


def test_ten_formats(tmp_path: Path) -> None:
    seeds = make_seeds(tmp_path)
    assert len(seeds) == 10
    assert all(len(seed) > 10_000 for seed in seeds.values())


@pytest.mark.parametrize(
    ("status", "resident", "log", "failures"),
    [
        (0, 100, "75 ticks", []),
        (2, 100, "enrapt: no recording", []),
        (1, 100, "", ["exit status 1 without a line"]),
        (-11, 100, "", ["exit status -11"]),
        (1, 100, "enrapt: a\nTraceback (most recent call last):\nKeyError: 1", ["traceback: KeyError: 1"]),
        (0, LARGEST + 1, "", ["601 MB"]),
    ],
)
def test_what_is_wrong(tmp_path: Path, status: int, resident: float, log: str, failures: list[str]) -> None:
    assert found(Result(status, 1.0, resident, []), tmp_path / "e.jsonl", log) == failures


def test_estimates_that_are_not_whole(tmp_path: Path) -> None:
    estimates = tmp_path / "e.jsonl"
    result = Result(0, 1.0, 100.0, [])
    estimates.write_text('{"tick": 0}\n{"tick": 1}\n')
    assert found(result, estimates, "") == []
    estimates.write_text('{"tick": 0}\n{"ti')
    assert len(found(result, estimates, "")) == 1
    (tmp_path / "e.jsonl.part").touch()
    assert len(found(result, estimates, "")) == 2
