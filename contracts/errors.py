"""Errors whose text is shown to the user."""


class UserError(Exception):
    """An error that the user can fix. Its text is one line: what is wrong, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def one_line(text: object) -> str:
    """Text from outside as part of one line: control characters become spaces; at most 200 characters."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:200]


def on_one_line(text: str) -> str:
    """A whole text on one line: all that cannot be printed, and ends of lines, are single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
