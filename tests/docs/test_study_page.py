"""docs/study.md: its commands run in their order, with its files, and print what it says."""

import re
import shlex
from pathlib import Path

import pandas as pd

from enrapt.cli.main import main
from enrapt.contracts.schemas import SCHEMAS
from enrapt.study.labels import read
from tests.cli.conftest import write_sound
from tests.support.study_files import TURNS, elan

PAGE = Path(__file__).parents[2] / "docs" / "study.md"
SECOND = "from;to;rating;sure\n1000;3000;4;5\n5000;9000;3;\n14500;19000;5;2\n"


def test_the_page_from_an_empty_folder_to_the_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    commands = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    description, mapping, _ = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (expected,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    Path("talk.eaf").write_text(elan(TURNS))
    Path("second.csv").write_text(SECOND)
    Path("second.toml").write_text(mapping)
    printed = {}
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "enrapt"
        assert main(arguments) == 0, command
        found = capsys.readouterr()
        assert found.err == ""
        printed[" ".join(arguments[:2])] = found.out
        if arguments[:2] == ["study", "new"]:
            Path("talks/study.toml").write_text(description)
    assert [line.rstrip() for line in printed["study status"].splitlines()] == [
        line.rstrip() for line in expected.splitlines()
    ]
    assert printed["study check"] == "1 session, all usable\n"
    assert "Krippendorff's alpha, interval" in printed["study agreement"]
    assert Path("agreement.png").stat().st_size > 1000
    assert read(Path("talks/sessions/talk/labels/engagement.E2.csv")).value.tolist() == [4, 3, 5]
    assert Path("talk.csv").read_text().startswith("t,wall_clock,marks,engagement.E1,engagement.E2\n")


def test_extraction_and_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^(enrapt (?:extract|features) .*)$", PAGE.read_text(), re.MULTILINE)
    commands = [line for line in lines if "--engine ray" not in line]
    Path("recordings/anna").mkdir(parents=True)
    for name in ("anna/1.mp4", "2.mp4"):
        write_sound(Path("recordings", name), 1.0, "aac")
    assert main(["study", "new", "talks"]) == 0
    for command in commands:
        assert main(shlex.split(command, comments=True)[1:]) == 0, command
    assert len(commands) == 4
    assert Path("sessions/2/session.json").is_file()
    table = pd.read_parquet("talks.parquet")
    assert table.groupby("person").size().to_dict() == {"2": 26, "anna": 26}
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(program, names := {})
    assert "audio.f0" in names["table"]
    assert all(f"| `{schema}` |" in PAGE.read_text() for schema in SCHEMAS)
