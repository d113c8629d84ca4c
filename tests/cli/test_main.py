import subprocess
import sys
import time

import pytest

from enrapt.cli import main as module
from enrapt.cli.main import COMMANDS, main
from enrapt.cli.show import interrupts_kept
from enrapt.contracts.errors import UserError


def status_after(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Exit status of a command that ends with `error`."""

    def run(args: object) -> int:
        raise error

    monkeypatch.setattr("enrapt.cli.inspect.run", run)
    return main(["inspect", "default"])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {command}" in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: enrapt {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["replay"], ["replay", "a.mp4", "--start", "soon"]])
def test_an_invalid_command_line_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: enrapt" in capsys.readouterr().err


def test_a_user_error_is_one_line(monkeypatch, capsys):
    assert status_after(monkeypatch, UserError("a file\nis missing;  give another")) == 2
    assert capsys.readouterr().err == "enrapt: a file is missing; give another\n"


def test_an_interrupt_is_status_130(monkeypatch, capsys):
    assert status_after(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_an_internal_error_keeps_its_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        status_after(monkeypatch, ZeroDivisionError())


def test_a_closed_pipe_is_status_141(tiny_bundle):
    command = f"{sys.executable} -m {module.__name__} inspect --json {tiny_bundle}"
    # The reader ends before the command writes.
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert done.stdout == "141\n"
    assert done.stderr == ""


def test_help_imports_no_heavy_library():
    program = (
        "import sys\n"
        "from enrapt.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'rich', 'av', 'cv2', 'msgspec'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_ctrl_c_in_a_callback_of_the_interpreter_is_not_lost(capfd):
    """As a second one may come while the run is being closed."""

    class Closed:
        def __del__(self):
            raise KeyboardInterrupt

    def close():
        Closed()
        for _ in range(1000):  # a longer sleep would not end before its time
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        close()
    assert tuple(capfd.readouterr()) == ("", "")
    assert sys.unraisablehook.__module__ != interrupts_kept.__module__
