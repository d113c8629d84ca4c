"""Checks of what a user gives to a model: each fault is one line that names the argument."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..contracts.errors import UserError, one_line
from .modality import Modality


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Check that an argument is a whole number of at least that.

    Raises:
        UserError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name}: expected a whole number, at least {least}, found {one_line(repr(value))}")


def check_generator(generator: Any) -> None:
    """Check that a generator of random numbers is one, or None.

    Raises:
        UserError: it is something else, as a seed.
    """
    if not isinstance(generator, torch.Generator | None):
        found = one_line(repr(generator))
        raise UserError(f"generator: expected torch.Generator().manual_seed(SEED), found {found}")


def check_names(names: Any, modalities: tuple[Modality, ...]) -> list[str]:
    """The names of modalities, which exist.

    Raises:
        UserError: one does not; no list of names.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UserError(f"expected a list of names of modalities, found {one_line(repr(names))}")
    names = list(names)
    known = [m.name for m in modalities]
    if unknown := [str(name) for name in names if name not in known]:
        raise UserError(f"{one_line(', '.join(unknown))}: no such modality; the model has {', '.join(known)}")
    return names


def check_values(x: Mapping[str, Any], mask: Mapping[str, Any], modalities: tuple[Modality, ...]) -> None:
    """Check the names of values and their masks.

    Raises:
        UserError: no values, unknown names, or values without a mask.
    """
    check_names(x, modalities)
    if not x:
        raise UserError(f"no data: give at least one of {', '.join(m.name for m in modalities)}")
    if absent := [name for name in x if name not in mask]:
        raise UserError(f"{', '.join(absent)}: values without a mask that says where they are present")


def decoded_names(of: Any, modalities: tuple[Modality, ...]) -> list[str]:
    """The names of the modalities to decode: those asked for, or all that are decoded.

    Raises:
        UserError: as `check_names`; a context, which is not decoded.
    """
    contexts = [m.name for m in modalities if m.role == "context"]
    if of is None:
        return [m.name for m in modalities if m.name not in contexts]
    names = check_names(of, modalities)
    if asked := [name for name in contexts if name in names]:
        raise UserError(f"{', '.join(asked)}: a context is an input, and is not decoded")
    return names


def scored_names(
    of: Any, given: Any, there: Iterable[str], modalities: tuple[Modality, ...]
) -> tuple[list[str], list[str]]:
    """The names of the modalities of which, and given which, a likelihood is asked.

    Args:
        there: names of those in the data.

    Raises:
        UserError: as `decoded_names`; a modality in both, or not in the data; none is left.
    """
    given, chosen = check_names(given, modalities), decoded_names(of, modalities)
    if of is None:
        chosen = [name for name in chosen if name not in given]
    elif both := [name for name in chosen if name in given]:
        raise UserError(f"{', '.join(both)}: in `of` and in `given`")
    elif absent := [name for name in chosen if name not in there]:
        raise UserError(f"{', '.join(absent)}: in `of`, and not among the data")
    if not chosen:
        raise UserError("no modality is left whose likelihood is asked: all are given")
    return chosen, given


class Parts(dict[str, Tensor]):
    """Latents by name, of which one that is missing is the user's error."""

    def __missing__(self, name: str) -> Tensor:
        raise UserError(
            f"{name}: no such latent in z, only {', '.join(self) or 'none'}; give what encode returns"
        )


def checked_latents(z: Any, sizes: Mapping[str, int], static: Iterable[str], like: Tensor) -> Parts:
    """Latents, of the device and type of another tensor.

    Args:
        sizes: by name.
        static: names of those that may be without the axis of ticks that others have.

    Raises:
        UserError: no dictionary of arrays, unknown names, other sizes, or latents that are not of the same
            samples.
    """
    if not isinstance(z, Mapping):
        raise UserError(f"z: expected latents by name, as encode returns them, found {type(z).__name__}")
    if unknown := [str(name) for name in z if name not in sizes]:
        raise UserError(f"{', '.join(unknown)}: no such latent; the model has {', '.join(sizes)}")
    parts = Parts()
    for name, value in z.items():
        try:
            parts[name] = torch.as_tensor(value).to(like)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{name}: not an array: {one_line(error)}") from None
        if not parts[name].ndim or parts[name].shape[-1] != sizes[name]:
            raise UserError(f"{name}: expected a latent […, {sizes[name]}], found {list(parts[name].shape)}")
    first = next((name for name in parts if name not in static), None)
    for name, value in parts.items():
        leading = parts[first].shape[:-1] if first is not None else value.shape[:-1]
        if value.shape[:-1] != leading and not (name in static and value.shape[:-1] == leading[:-1]):
            other = f"{first} {list(parts[str(first)].shape)}"
            raise UserError(f"{name}: a latent {list(value.shape)} beside {other}: not of the same samples")
    return parts
