"""The programs of docs/models.md run as printed, on small data; its equations and tables are the code's."""

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from enrapt import models
from enrapt.models import Annealing, Dropout, Modality, fit
from enrapt.models.causal import Causal
from enrapt.models.config import MODELS, Config, EarlyStopping, Training

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
STRUCTS = {
    "": Config,
    "model.modalities.": Modality,
    "training.": Training,
    "training.annealing.": Annealing,
    "training.dropout.": Dropout,
    "training.early_stopping.": EarlyStopping,
}
NONE = inspect.Parameter.empty


def blocks():
    """By heading; the first two have names for all that follow."""
    page = PAGE.read_text()
    found = []
    for part in re.split(r"^#+ ", page, flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0]
        found += [(title, text) for text in re.findall(r"```python\n(.*?)```", part, re.DOTALL)]
    return found


BLOCKS = blocks()


def given():
    """What the first program takes as given."""
    g = torch.Generator().manual_seed(0)
    images = (torch.rand(12, 1, 28, 28, generator=g) < 0.3).float()
    poses = torch.randn(12, 6, generator=g)
    poses[::3] = torch.nan
    rnn = {name: Modality(name, dim) for name, dim in (("face", 5), ("voice", 3), ("ecg", 1))}
    return {
        "images": images,
        "poses": poses,
        "held_out": {"image": images[:4], "pose": poses[:4]},
        "sequences": {m.name: torch.randn(4, 6, m.dim, generator=g) for m in rnn.values()},
    } | rnn


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_first_program():
    names = given()
    exec(BLOCKS[0][1], names)
    assert names["z"].shared.shape == (5, 12, 8)
    assert names["z"].private["image"].shape == (5, 12, 10)
    assert names["predicted"]["pose"].shape == (5, 12, 6)
    assert names["swapped"]["image"].shape == (5, 12, 1, 28, 28)
    assert names["new"]["image"].shape == (64, 1, 28, 28)
    assert names["nll"].isfinite().all()
    assert names["cond"].isfinite().all()
    assert names["future"]["voice"].shape == (8, 4, 100, 3)
    assert type(models.load("runs/d")) is models.DMVAE


@pytest.mark.parametrize("title", dict.fromkeys(title for title, _ in BLOCKS[2:]))
def test_an_example(title):
    names = {}
    for heading, program in BLOCKS[1:]:
        if heading in (BLOCKS[1][0], title):
            exec(program, names)
    tensors = {k: v for k, v in names.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    assert all(v.isfinite().all() for v in tensors.values())


def test_the_equations_are_those_of_the_modules():
    page = PAGE.read_text()
    for name in ("mvae", "dmvae", "mdvae", "mm_vrnn", "vq_vae", "forward_filter"):
        docstring = getattr(models, name).__doc__
        (equations,) = re.findall(r"\n\n((?:    .*\n)+)", docstring)[:1]
        assert equations in page, name


def test_the_table_of_models():
    rows = re.findall(r"^\| `(\w+)` \| (samples|sequences) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} == {model.__name__ for model in MODELS}
    for name, data, causal in rows:
        model = getattr(models, name)
        assert data == ("samples" if model.axes == 1 else "sequences"), name
        assert (causal != "no") == issubclass(model, Causal), name


def fields(struct: type[Any]) -> dict[str, Any]:
    """Default by field; `NONE` for one that has to be given, `msgspec.NODEFAULT` for another struct."""
    found = {}
    for field in msgspec.structs.fields(struct):
        default = NONE if field.required else field.default
        found[field.name] = msgspec.NODEFAULT if isinstance(default, msgspec.Struct) else default
    return found


def defaults() -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Defaults by TOML key, several where models differ, and by parameter of `fit`."""
    toml: dict[str, list[Any]] = {"model.model": [NONE]}
    for prefix, struct in STRUCTS.items():
        toml |= {f"{prefix}{name}": [default] for name, default in fields(struct).items()}
    del toml["model"], toml["training"]  # tables of their own
    for model in MODELS:
        for name, default in fields(model.Config).items():
            known = toml.setdefault(f"model.{name}", [])
            known.extend([default] if default not in known else [])
    python = {name: [p.default] for name, p in inspect.signature(fit).parameters.items()}
    return toml, python


def shown(key: str, known: dict[str, list[Any]]) -> str:
    """A key with its defaults, as the table shows it."""
    values = []
    for default in known[key]:
        if default in (NONE, msgspec.NODEFAULT, (), None) or callable(default):
            continue
        values.append(str(list(default)) if isinstance(default, tuple) else str(default))
    of_toml = " or ".join(values).replace("True", "true").replace("False", "false")
    return f"`{key}`" + (f" = {of_toml}" if of_toml else "")


def test_the_table_of_options_names_every_key_and_every_parameter_with_its_default():
    toml, python = defaults()
    table = PAGE.read_text().partition("| TOML | Python | |\n")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[1:]]
    keys = [first for first, _, _ in rows if first and not first.startswith("**")]
    assert sorted(keys) == sorted(shown(key, toml) for key in toml)
    names = [second for _, second, _ in rows if second]
    parameters = {shown(name, python) for name in python}
    assert parameters <= set(names)
    # The others have the name of their key.
    for first, second, _ in rows:
        if second and second not in parameters:
            assert second.strip("`").rpartition(".")[2] == first.split("`")[1].rpartition(".")[2]
    assert all(text for first, _, text in rows if not first.startswith("**"))
