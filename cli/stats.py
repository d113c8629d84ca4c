"""The file of `--stats`: the summary of a run, or of several at the same time, as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..contracts.errors import UserError
from ..contracts.owned import OwnedFile

if TYPE_CHECKING:
    from ..realtime.run import Run


class StatsFile:
    """Owned from the start, written at the end. A context manager; without `write` nothing is left of it.

    Raises:
        UserError: on entering, it cannot be written, or is an output of a run.
    """

    def __init__(self, path: Path | None, runs: "Sequence[Run]") -> None:
        self._path, self._runs = path, runs
        self._file: OwnedFile | None = None

    def __enter__(self) -> Self:
        from ..realtime.outputs.addresses import destination
        from ..realtime.outputs.files import is_stream
        from .show import warn

        if self._path is None or is_stream(self._path):
            return self
        path = self._path.resolve()
        outputs = [destination(address).path for run in self._runs for address in run.to]
        if any(path == to.resolve() for to in outputs if to is not None):
            raise UserError(f"--stats {self._path}: is an output of the estimates; give it a file of its own")
        try:
            self._file = OwnedFile(path, overwrite=self._runs[0].overwrite, lines=False, warn=warn)
        except OSError as error:
            raise UserError(
                f"{self._path}: cannot be written ({error.strerror}); give another path"
            ) from None
        return self

    def write(self, content: dict[str, Any]) -> None:
        """Write the summary; raises OSError."""
        text = json.dumps(content, indent=2).encode() + b"\n"
        if self._file is not None:
            self._file.stream.write(text)
            self._file.commit()
        elif self._path is not None:
            self._path.write_bytes(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.discard()
