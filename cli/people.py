"""Several people on one command line: `--person anna --camera 0 --mic lapel --person ben --camera 1 …`."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from ..contracts.errors import UserError
from .arguments import is_page

FOLLOWED: Final = ("largest", "first", "left", "right", "centre")  # whom `--person` follows; else a name

# Of each person; what is not given is not there.
_NOTHING: Final[Mapping[str, Any]] = {
    "camera": "none",
    "mic": "none",
    "audio_channel": None,
    "partner_mic": None,
    "profile": None,
    "to": [],
}


class Own(argparse.Action):
    """An option of the person named before it; of the only one, if nobody is named."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: Any = None
    ) -> None:
        self.store(namespace.named[-1] if namespace.named else namespace, values)

    def store(self, place: argparse.Namespace, value: Any) -> None:
        setattr(place, self.dest, value)


class OwnList(Own):
    """Likewise, one that may be repeated."""

    def store(self, place: argparse.Namespace, value: Any) -> None:
        setattr(place, self.dest, [*getattr(place, self.dest, []), value])


class Person(Own):
    """Names a person, to whom the options after it belong; or says whom of those in view to follow."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: Any = None
    ) -> None:
        if isinstance(values, int) or values in FOLLOWED:
            super().__call__(parser, namespace, values)
        else:
            namespace.named.append(argparse.Namespace(name=values))


def each_person(args: argparse.Namespace) -> dict[str, argparse.Namespace]:
    """The arguments of each person by name, those for everybody included.

    Raises:
        UserError: fewer than two are named, or one twice; one has no device; an option of one person is
            before all names.
    """
    named: list[argparse.Namespace] = args.named
    names = [own.name for own in named]
    if len(names) == 1:
        raise UserError(
            f"--person {names[0]}: give whom to follow ({', '.join(FOLLOWED)}, or an id), or two people or "
            "more by name, each with the devices after it"
        )
    if twice := next((name for k, name in enumerate(names) if name in names[:k]), None):
        raise UserError(f"--person {twice}: is there twice; give each a name of their own")
    if args.people > 1:
        raise UserError("--people: is for one camera; of people who are named each has devices of their own")
    if any(not is_page(address) for address in args.to) or len(args.to) > 1:
        raise UserError("--to: give it after the --person whose it is; before all, one page (ui) is of all")
    for option in ("stream", "offset", "context", "profile", "partner_mic"):
        if getattr(args, option):
            raise UserError(f"--{option.replace('_', '-')}: give it after the --person whose it is")
    if args.camera != 0 or args.mic != "default" or args.audio_channel is not None:
        raise UserError("--camera and --mic: give them after the --person whose they are")
    people = {}
    for own in named:
        given = {key: value for key, value in vars(own).items() if key != "name"}
        if not given.keys() & {"camera", "mic", "stream"}:
            raise UserError(f"--person {own.name}: give a --camera or a --mic after it")
        people[own.name] = argparse.Namespace(**{**vars(args), **_NOTHING, **given})
    return people
