"""People's profiles in the user's data folder: a JSON file each, readable by its owner alone, never media."""

import re
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from ...contracts.errors import UserError, one_line
from ...contracts.files import atomic_file
from ...contracts.regular import open_regular
from ..engine.profile import VERSION, Profile
from .private import make_private

MAX_BYTES: Final = 2**24  # of a file; those of the shipped bundles have 3 KB


def folder() -> Path:
    """Where profiles are; it need not exist."""
    return platformdirs.user_data_path("enrapt") / "profiles"


def path_of(name: str) -> Path:
    """The file of a profile, which need not exist.

    Raises:
        UserError: no profile can have that name.
    """
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise UserError(f"profile {one_line(name)!r}: give letters, digits, _, - and . (64 at most)")
    return folder() / f"{name}.json"


def names() -> list[str]:
    """Of all profiles, sorted."""
    return sorted(path.stem for path in folder().glob("*.json"))


def load(name: str) -> Profile:
    """A profile by its name.

    Raises:
        UserError: there is none of that name, or its file is damaged.
    """
    path = path_of(name)
    if not path.exists():
        known = ", ".join(names()) or "none"
        raise UserError(f"no profile {name} (there are: {known}); make it: enrapt calibrate --profile {name}")
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        profile = msgspec.json.decode(content, type=Profile)
        if profile.profile_version != VERSION:
            raise ValueError(f"of version {profile.profile_version}, not {VERSION}")
    except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
        remedy = f"delete it (enrapt calibrate --delete {name}) and calibrate again"
        raise UserError(f"{path}: not a profile, or damaged ({one_line(error)}); {remedy}") from None
    return profile


def check_new(name: str) -> None:
    """Refuse the name of a profile that exists.

    Raises:
        UserError: it does, or no profile can have that name.
    """
    if path_of(name).exists():
        raise UserError(f"profile {name} exists; delete it first (enrapt calibrate --delete {name})")


def save(profile: Profile) -> Path:
    """Write a new profile; gives its file, of mode 600.

    Raises:
        UserError: there is one of that name, or it cannot be written.
    """
    check_new(profile.name)
    path = path_of(profile.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({error.strerror})") from None
    make_private(path.parent)
    with atomic_file(path) as file:
        make_private(Path(file.name))
        file.write(msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")
    return path


def delete(name: str) -> None:
    """Delete a profile.

    Raises:
        UserError: there is none of that name, or it cannot be deleted.
    """
    path = path_of(name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise UserError(f"no profile {name} (there are: {', '.join(names()) or 'none'})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be deleted ({error.strerror})") from None
