"""What reads files that others wrote gives a result, or an error in one line; nothing else."""

from collections.abc import Callable
from typing import TypeVar

from enrapt.contracts.errors import UserError

T = TypeVar("T")


def result_or_error(call: Callable[[], T]) -> T | None:
    """The result; None where the call raised an error for people, which must be one line."""
    message = ""
    try:
        return call()
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    return None
