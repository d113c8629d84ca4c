import subprocess
import sys

import pytest

from enrapt.cli import main as module
from enrapt.cli.main import COMMANDS, main
from enrapt.contracts.errors import UserError


def ending(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """What the command gives when its work ends so."""

    def run(args: object) -> int:
        raise error

    monkeypatch.setattr("enrapt.cli.inspect.run", run)
    return main(["inspect", "default"])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_options(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: enrapt {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["replay"], ["replay", "a.mp4", "--start", "soon"]])
def test_a_command_line_that_makes_no_sense_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: enrapt" in capsys.readouterr().err


def test_a_users_error_is_one_line(monkeypatch, capsys):
    assert ending(monkeypatch, UserError("a file\nis missing;  give another")) == 2
    assert capsys.readouterr().err == "enrapt: a file is missing; give another\n"


def test_an_interrupt_is_status_130(monkeypatch, capsys):
    assert ending(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_our_own_faults_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ending(monkeypatch, ZeroDivisionError())


def test_output_to_a_reader_that_has_gone_is_status_141(tiny_bundle):
    command = f"{sys.executable} -m {module.__name__} inspect --json {tiny_bundle}"
    # The reader ends before the command has found out what to say.
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert done.stdout == "141\n"
    assert done.stderr == ""


def test_help_loads_nothing_heavy():
    program = (
        "import sys\n"
        "from enrapt.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'rich', 'av', 'cv2', 'msgspec'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
