"""The API reference is built from docstrings, with warnings as errors; every option of a model is in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from enrapt import export, models, realtime
from enrapt.models.config import MODELS

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The text of each page, by module."""
    folder = tmp_path_factory.mktemp("reference")
    command = [sys.executable, str(REPOSITORY / "docs" / "reference.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for path in folder.rglob("*.html"):
        name = path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        found[name] = path.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("room", [models, export, realtime], ids=lambda room: room.__name__)
def test_every_name_of_a_room_has_a_section(room, pages):
    sections = set(re.findall(r'<section id="(\w+)">', pages[room.__name__]))
    assert sections == set(room.__all__)


def test_a_model_has_its_equations_and_every_option_with_its_default(pages):
    page = pages["enrapt.models"]
    assert "see the module" not in page
    assert "Initialize internal Module state" not in page
    for model in MODELS:
        section = page[page.index(f'<section id="{model.__name__}">') :]
        assert "<strong>" in section
        if model.__name__ in ("ForwardFilter", "Ensemble"):  # made of models
            continue
        for name in model.Config.__struct_fields__:
            if name != "modalities":
                assert re.search(rf"<strong>{name} = [^<]+:</strong>", section), (model.__name__, name)
    assert "p(z_t | h_{t-1})" in page


def test_there_is_a_page_for_each_module(pages):
    for name in ("models", "export", "bundle.bundle", "realtime", "realtime.engine.engine", "study.labels"):
        assert f"enrapt.{name}" in pages
