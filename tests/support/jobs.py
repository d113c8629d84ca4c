"""What tests run over several recordings; processes import it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from enrapt.cli.batch import Row
from enrapt.cli.recordings import Item
from enrapt.contracts.errors import UserError


def by_content(item: Item, progress: Callable[[float], None]) -> Row:
    """Do what the file says, and count in `calls`, beside it, how often that was."""
    text = item.path.read_text()
    with (item.path.parent / "calls").open("a") as calls:
        calls.write(f"{item.name}\n")
    progress(0.5)
    match text.split():
        case ["crash"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        case ["crash", "once"]:
            if not (crashed := Path(f"{item.path}.crashed")).exists():
                crashed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case ["exit"]:
            os._exit(3)
        case ["user"]:
            raise UserError(f"{item.path}: is broken;\n mend it")
        case ["error"]:
            raise ZeroDivisionError("a\nb")
        case ["sleep", seconds]:
            Path(f"{item.path}.started").touch()
            time.sleep(float(seconds))
    return {"text": text, "process": os.getpid(), "infinite": float("inf")}


def nothing(item: Item, progress: Callable[[float], None]) -> Row:
    """A row without a value."""
    return {}
