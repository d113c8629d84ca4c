"""Reads .npz archives that others wrote: arrays of numbers, no larger than they may be; and writes them.

The header of an array is checked before memory is allocated for what it claims.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular

MAX_NUMBERS: Final = 2**25  # in an array: three hours of face and audio at 25 ticks/s

_MAX_BYTES: Final = 2**30  # of a file
_MAX_DIRECTORY: Final = 2**20  # bytes of the archive's list of arrays
_END: Final = b"PK\5\6"  # begins the last 22 bytes of an archive without a comment


def read_arrays(path: Path, names: list[str] | None) -> dict[str, NDArray[Any]]:
    """The arrays of an archive, which may have those names; None: any.

    Raises:
        UserError: it cannot be read, or is not such an archive.
    """
    try:
        with open_regular(path) as file:
            _check_size(file)
            with zipfile.ZipFile(file) as archive:
                members = [name.removesuffix(".npy") for name in archive.namelist()]
                if names is not None and (wrong := sorted(set(members) - set(names))):
                    listed = ", ".join(map(one_line, wrong[:5]))
                    raise UserError(f"{path}: {listed}: no such modality, expected {', '.join(names)}")
                if len(set(members)) < len(members):
                    raise ValueError("two arrays have the same name")
                return {name: _read(archive, f"{name}.npy") for name in members}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None
    except Exception as error:  # zipfile, zlib, lzma and NumPy raise many kinds for damaged files
        reason = one_line(error) or type(error).__name__
        raise UserError(f"{path}: cannot be read as .npz ({reason}); write it with numpy.savez") from None


def write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an archive. Unlike `numpy.savez` it takes arrays of any name."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                npy.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def _check_size(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    if size > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES >> 30} GiB")
    file.seek(max(size - 22, 0))
    end = file.read()
    if end[:4] != _END:
        raise ValueError("not a whole archive")
    if int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY:
        raise ValueError("too many arrays")
    file.seek(0)


def _read(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if dtype.kind not in "biuf":
            raise ValueError(f"{member}: expected numbers, found {dtype}")
        count = 1
        for n in shape:
            count *= int(n)
            if n < 0 or count > MAX_NUMBERS:
                raise ValueError(f"{member}: its shape is {shape}; at most {MAX_NUMBERS} numbers are read")
    with archive.open(member) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{member}: more than its shape says")
    return array
