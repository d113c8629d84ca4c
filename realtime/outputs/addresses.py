"""Which output an address means."""

from ...contracts.errors import UserError
from .files import file_opening
from .output import Opening
from .urls import without_password


def opening(address: str) -> Opening:
    """The output of that address, not open yet.

    Args:
        address: `jsonl:FILE`, `csv:FILE`; FILE `-`, or `-` alone for JSON Lines, is standard output.
            `ui`, `ui:PORT`, `ui:HOST:PORT` (or `ws`, `http`: other names of that server), `parquet:FILE`,
            `lsl:NAME`, `osc://…`, `mqtt://…` and `mqtts://…`: see their modules.

    Raises:
        UserError: there is no such kind of output, or the package that it needs is not there.
    """
    scheme, _, target = ("jsonl:-" if address == "-" else address).partition(":")
    if scheme in ("jsonl", "csv") and target:
        return file_opening(address, scheme, target)
    if scheme == "parquet" and target:  # the packages of these are imported by those who ask for them
        from .parquet import parquet_opening

        return parquet_opening(address, target)
    if scheme == "lsl":
        from .lsl import lsl_opening

        return lsl_opening(address, target)
    if scheme == "osc":
        from .osc import osc_opening

        return osc_opening(address)
    if scheme in ("mqtt", "mqtts"):
        from .mqtt import mqtt_opening

        return mqtt_opening(address)
    if scheme in ("ui", "ws", "http"):
        from .page import page_opening

        return page_opening(address, target)
    raise UserError(
        f"unknown output {without_password(address)!r}: give ui, jsonl:FILE, csv:FILE, parquet:FILE, "
        "lsl:NAME, osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or - for standard output"
    )
