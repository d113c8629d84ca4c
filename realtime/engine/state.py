"""The recurrent state of an engine as data: saved to a file, it continues a session later."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ...contracts.files import atomic_file

MAX_BYTES: Final = 64 * 2**20  # the state of a stream is some hundred bytes
_BUNDLE: Final = "bundle_sha256"


@dataclass(frozen=True, slots=True)
class State:
    """The recurrent state of an engine's streams.

    Attributes:
        sha256: of the bundle; the state fits no other.
        values: float32 `[streams, *shape]` by the name of the bundle's state.
    """

    sha256: str
    values: dict[str, NDArray[np.float32]]

    def save(self, path: Path) -> None:
        """Write it as an .npz archive, atomically.

        Raises:
            UserError: the file cannot be written.
        """
        arrays: dict[str, Any] = {f"state_{name}": value for name, value in self.values.items()}
        arrays[_BUNDLE] = self.sha256
        with atomic_file(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Whether it fits an engine is checked when the engine's state is set.

        Raises:
            UserError: no such file, not a state, or damaged.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                    raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not a saved state")
            with np.load(path, allow_pickle=False) as arrays:
                sha256 = str(arrays[_BUNDLE])
                values = {key.removeprefix("state_"): arrays[key] for key in arrays if key != _BUNDLE}
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; give a saved state") from None
        except UserError:
            raise
        except Exception:  # zipfile, zlib and NumPy raise many kinds for damaged files
            raise UserError(f"{path}: not a saved state, or damaged; start a new session") from None
        for name, value in values.items():
            if value.dtype != np.float32 or not np.isfinite(value).all():
                raise UserError(f"{path}: state {name!r} is not finite float32; start a new session")
        return cls(sha256, values)
