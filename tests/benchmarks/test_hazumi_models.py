"""The benchmark's folds, scores and models, on made-up people."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.models.metrics import concordance
from tests.support.hazumi_tables import FACE, VOICE, line, write_tables

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Imports a file of the benchmark as the command does."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def people(module, count=12, exchanges=8):
    """Talkative people who enjoy it, and others."""
    data, rng = module("datasets.hazumi"), np.random.default_rng(0)
    found = []
    for i in range(count):
        level = rng.integers(1, 8, (exchanges, 1)).astype(np.float32)
        ends = (1 + level.cumsum()).astype(float)
        x = {m: level + rng.normal(size=(exchanges, d)) for m, d in (("face", 66), ("voice", 384))}
        found.append(
            data.Session(
                f"s{i}", f"p{i // 2}", "c", np.arange(exchanges, dtype=np.float32),
                np.stack([ends - level[:, 0], ends - 0.5 * level[:, 0], ends], 1),
                {q: np.repeat(level, 5, 1) for q in data.QUESTIONS}, {m: np.float32(v) for m, v in x.items()},
            )
        )  # fmt: skip
    return found


def a_fold(module):
    sessions = people(module)
    parts = {"training": sessions[:8], "validation": sessions[8:10], "test": sessions[10:]}
    return module("hazumi_models").Fold(module("datasets.hazumi_steps").Steps(parts["training"]), parts, 0, 0)


def test_no_person_is_in_two_parts_and_all_are_tested_once(module):
    command, sessions = module("hazumi"), people(module, count=26)
    tested = []
    for parts in command.splits(sessions, None, seed=0):
        names = [{s.person for s in part} for part in parts]
        assert sum(map(len, names)) == len(set().union(*names)) == 13
        tested += [s.name for s in parts[2]]
    assert sorted(tested) == sorted(s.name for s in sessions)
    assert command.splits(sessions, None, 0)[0][2] != command.splits(sessions, None, 1)[0][2]


def test_another_table_is_tested_alone(module):
    command, sessions = module("hazumi"), people(module, count=26)
    ((training, validation, test),) = command.splits(sessions, sessions[:2], seed=0)
    assert test == sessions[:2]
    assert len(training) + len(validation) == 26


def test_scores_of_a_prediction_that_is_right_but_half_as_wide(module):
    command, fold = module("hazumi"), a_fold(module)
    found = {}
    for part in ("validation", "test"):
        truth, _ = fold.truth(part, "topic")
        for field, value in {"mean": 3 + truth / 2, "low": truth - 1, "high": truth + 0.5}.items():
            found[f"{part}/all/topic/{field}"] = value
    scored = command.Scored()
    scored.add(fold, found, "all", "topic")
    f = scored.figures(0)
    truth, _ = fold.truth("test", "topic")
    assert f["ccc"] == pytest.approx(concordance(truth, 3 + truth / 2))
    assert f["r"] == pytest.approx(1)
    assert f["inside"] == 1
    # Two test people have the mean and spread of two validation people, about.
    assert f["ccc"] < f["stretched"] <= 1
    assert f["low"] <= f["ccc"] <= f["high"]


def test_bursts_leave_the_clock_and_are_the_same_for_every_model(module):
    models, fold = module("hazumi_models"), a_fold(module)
    first, again = fold.seen("training", "bursts"), fold.seen("training", "bursts")
    whole = fold.batches["training"]
    for m in ("face", "voice", "clock", "length"):
        assert (first.available[m] == again.available[m]).all()
        kept = (first.available[m] == whole.available[m]).all()
        assert kept == (m in models.ALWAYS)


@pytest.mark.parametrize(
    "name", ["panel", "length", "ridge", "mvae", "gru", "ours", "ours face", "ours bursts", "ours 30 %"]
)
def test_every_model_predicts_all_answers(module, monkeypatch, name):
    models, fold = module("hazumi_models"), a_fold(module)
    for setting, value in {"EPOCHS": 2, "HIDDEN": 4, "LATENT": 2}.items():
        monkeypatch.setattr(models, setting, value)
    found = models.MODELS[name](fold)
    patterns = {"panel": ["all"], "length": ["all"], "ours face": ["face"], "ours bursts": ["bursts"]}
    expected = patterns.get(name, [*models.PATTERNS])
    questions = ("enjoyment", "topic")
    assert {*found} == {(p, t, q) for p in ("validation", "test") for t in expected for q in questions}
    for mean, low, high in found.values():
        assert mean.shape[:2] == (2, 8)
        assert mean.shape[2] in (1, 5)
        assert (low < mean).all()
        assert (mean < high).all()


def test_ridge_follows_what_is_heard(module):
    models, fold = module("hazumi_models"), a_fold(module)
    truth, _ = fold.truth("test", "topic")
    mean = models.ridge(fold)["test", "voice", "topic"].mean
    assert concordance(truth.mean(-1), mean[..., 0]) > 0.8


def test_boosting_asks_for_what_it_needs(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(UserError, match="pip install scikit-learn"):
        module("hazumi_models").boosting(a_fold(module))


def command_on_tables(module, monkeypatch, tmp_path, *extra):
    """The command on twelve made-up people, and two others."""
    rng = np.random.default_rng(0)
    for folder, names in (("data", range(12)), ("other", range(12, 14))):
        (tmp_path / folder).mkdir(exist_ok=True)
        rows = [(p, i, rng.integers(1, 8, 10)) for p in names for i in range(5)]
        lines = [line(f"s{p}", i, 3000 * i, 3000 * i + 1000, 3000 * i + 2500, y, f"p{p}") for p, i, y in rows]
        write_tables(tmp_path / folder, *lines, x=rng.normal(size=(len(lines), VOICE + FACE)))
    argv = [
        "hazumi.py",
        tmp_path / "data",
        "--runs",
        tmp_path / "runs",
        "--models",
        "panel",
        "length",
        *extra,
    ]
    monkeypatch.setattr(sys, "argv", [str(part) for part in argv])
    module("hazumi").main()


def test_the_command_scores_all_folds_and_keeps_predictions(module, monkeypatch, tmp_path, capsys):
    command_on_tables(module, monkeypatch, tmp_path)
    first = capsys.readouterr().out
    assert "panel_fold5_seed0_" in first
    assert "12 people" in first
    command_on_tables(module, monkeypatch, tmp_path)
    assert first.endswith(capsys.readouterr().out)  # read, not computed again


def test_the_command_scores_another_table(module, monkeypatch, tmp_path, capsys):
    other = tmp_path / "other" / "exchanges.csv.gz", tmp_path / "other" / "features.npz"
    options = ["--test-exchanges", other[0], "--test-features", other[1]]
    command_on_tables(module, monkeypatch, tmp_path, *options)
    assert "\n2 people" in capsys.readouterr().out


def test_a_table_of_the_same_people_is_no_test(module, monkeypatch, tmp_path):
    same = tmp_path / "data" / "exchanges.csv.gz", tmp_path / "data" / "features.npz"
    with pytest.raises(SystemExit, match="p0 is in both tables"):
        command_on_tables(
            module, monkeypatch, tmp_path, "--test-exchanges", same[0], "--test-features", same[1]
        )
    with pytest.raises(SystemExit, match="give both"):
        command_on_tables(module, monkeypatch, tmp_path, "--test-exchanges", same[0])


def test_ridge_is_the_solution_of_its_equations(module):
    models, rng = module("hazumi_models"), np.random.default_rng(0)
    x, y = rng.normal(1, [1, 2, 3], (50, 3)), rng.normal(size=(50, 2))
    for column, weights in zip(y.T, models.penalised(np.float32(x), np.float32(y)), strict=True):
        mean, std = x.mean(0), x.std(0)
        z = (x - mean) / std
        for penalty, w in zip(models.PENALTIES, weights.T, strict=True):
            expected = np.linalg.solve(
                z.T @ z / 50 + penalty * np.eye(3), z.T @ (column - column.mean()) / 50
            )
            np.testing.assert_allclose(w[:-1] * std, expected, rtol=1e-3, atol=1e-5)
            predicted = models.linear(np.float32(x), w[:, None])
            assert predicted.mean() == pytest.approx(column.mean(), abs=1e-5)
