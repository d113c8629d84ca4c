"""Which people a model is trained on, chosen by and tested on: each person in one part only.

People who were recorded together share a conversation, and perhaps each other's voice: as far as possible
they are in the same part.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Final, Literal

import numpy as np

from ..contracts.errors import UserError, one_line
from .study import spelling

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")
SHARE: Final = 0.2  # of the labelled people in validation, and in test


def split_people(
    labelled: Collection[str],
    others: Collection[str],
    seed: int,
    test: Sequence[str] = (),
    together: Iterable[Set[str]] = (),
) -> dict[str, Part]:
    """The part of each person: about 60, 20 and 20 % of the labelled people, at least one in each.

    People without labels are for training: there is nothing to score.

    Args:
        test: the people of the test, instead of a random fifth.
        together: people who were recorded together, for the same part; where that leaves fewer parties than
            there are parts, they are divided all the same (`divided` says who).

    Raises:
        UserError: too few people; one of `test` is unknown or has no labels; one person under two spellings.
    """
    people = sorted({*labelled, *others})
    _check_spelling(people)
    if unknown := sorted({*test} - {*people}):
        raise UserError(f"--test-people: no {one_line(unknown[0])[:60]!r}; the study has {_listed(people)}")
    if unrated := sorted({*test} - {*labelled}):
        raise UserError(f"--test-people: {one_line(unrated[0])[:60]} has no labels to score with")
    rest = sorted({*labelled} - {*test})
    least = 2 if test else 3  # parts that are left to fill
    if len(rest) < least:
        raise UserError(
            f"{len(labelled)} labelled {'person' if len(labelled) == 1 else 'people'} ({_listed(labelled)}): "
            "training, validation and test need one each; "
            + ("name fewer with --test-people" if test else "label sessions of more people")
        )
    parties = _parties(rest, together)
    if len(parties) < least:
        parties = [[person] for person in rest]
    rng = np.random.default_rng(seed)
    order = [parties[k] for k in rng.permutation(len(parties)).tolist()]
    parts: dict[str, Part] = dict.fromkeys(others, "train")
    parts |= dict.fromkeys(test, "test")
    held_out = max(1, round(SHARE * len(labelled)))
    if not test:
        parts |= dict.fromkeys(_take(order, held_out, leave=2), "test")
    parts |= dict.fromkeys(_take(order, held_out, leave=1), "validation")
    return parts | dict.fromkeys((person for party in order for person in party), "train")


def divided(parts: Mapping[str, Part], together: Iterable[Set[str]]) -> list[str]:
    """People who were recorded together and are in different parts, a line for each session."""
    lines = []
    for people in together:
        if len({parts[person] for person in people if person in parts}) > 1:
            where = ", ".join(f"{person} ({parts[person]})" for person in sorted(people) if person in parts)
            lines.append(f"recorded together, in different parts: {one_line(where)}")
    return lines


def _parties(people: Sequence[str], together: Iterable[Set[str]]) -> list[list[str]]:
    """The people, those who were recorded together, also by way of others, in one party; sorted."""
    party = {person: {person} for person in people}
    for company in together:
        if joined := [party[person] for person in sorted(company) if person in party]:
            union = set().union(*joined)
            party |= dict.fromkeys(union, union)
    return sorted(sorted(one) for one in {id(each): each for each in party.values()}.values())


def _take(order: list[list[str]], people: int, leave: int) -> list[str]:
    """Take so many people from the front, and no more parties than leave some."""
    taken: list[str] = []
    while len(taken) < people and len(order) > leave:
        taken += order.pop(0)
    return taken


def _check_spelling(people: Sequence[str]) -> None:
    """Raise UserError if two names are probably one person, who could then be in two parts."""
    known: dict[str, str] = {}
    for person in people:
        other = known.setdefault(spelling(person), person)
        if other != person:
            raise UserError(
                f"{one_line(other)!r} and {one_line(person)!r} are probably one person, who must not be in "
                "two parts; write the name the same way in study.toml or the folders"
            )


def _listed(people: Collection[str]) -> str:
    return one_line(", ".join(sorted(people)[:20])) or "none"
