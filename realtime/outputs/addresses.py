"""Which output an address means."""

from ...contracts.errors import UserError
from .files import file_opening
from .output import Opening


def opening(address: str) -> Opening:
    """The output of that address, not open yet.

    Args:
        address: `jsonl:FILE`, `csv:FILE`; FILE `-`, or `-` alone for JSON Lines, is standard output.

    Raises:
        UserError: there is no such kind of output.
    """
    scheme, _, target = ("jsonl:-" if address == "-" else address).partition(":")
    if scheme in ("jsonl", "csv") and target:
        return file_opening(address, scheme, target)
    raise UserError(f"unknown output {address!r}: give jsonl:FILE, csv:FILE, or - for standard output")
