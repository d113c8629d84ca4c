"""docs/study.md: its commands run in their order, with its files, and print what it says."""

import re
import shlex
from pathlib import Path

from enrapt.cli.main import main
from enrapt.study.labels import read
from tests.support.study_files import TURNS, elan

PAGE = Path(__file__).parents[2] / "docs" / "study.md"
SECOND = "from;to;rating;sure\n1000;3000;4;5\n5000;9000;3;\n14500;19000;5;2\n"


def test_the_page_from_an_empty_folder_to_the_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    commands = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    description, mapping = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
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
    assert Path("talk.csv").read_text().startswith("t,engagement.E1,engagement.E2\n")
