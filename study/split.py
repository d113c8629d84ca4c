"""Which people a model is trained on, chosen by and tested on: each person in one part only."""

from collections.abc import Collection, Sequence
from typing import Final, Literal

import numpy as np

from ..contracts.errors import UserError, one_line

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")
SHARE: Final = 0.2  # of the labelled people in validation, and in test


def split_people(
    labelled: Collection[str], others: Collection[str], seed: int, test: Sequence[str] = ()
) -> dict[str, Part]:
    """The part of each person: about 60, 20 and 20 % of the labelled people, at least one in each.

    People without labels are for training: there is nothing to score.

    Args:
        test: the people of the test, instead of a random fifth.

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
    if len(rest) < (2 if test else 3):
        raise UserError(
            f"{len(labelled)} labelled {'person' if len(labelled) == 1 else 'people'} ({_listed(labelled)}): "
            "training, validation and test need one each; "
            + ("name fewer with --test-people" if test else "label sessions of more people")
        )
    rng = np.random.default_rng(seed)
    order = [rest[k] for k in rng.permutation(len(rest)).tolist()]
    parts: dict[str, Part] = dict.fromkeys(others, "train")
    parts |= dict.fromkeys(test, "test")
    held_out = max(1, round(SHARE * len(labelled)))
    if not test:
        parts |= dict.fromkeys(order[:held_out], "test")
        order = order[held_out:]
    held_out = min(held_out, len(order) - 1)
    parts |= dict.fromkeys(order[:held_out], "validation")
    return parts | dict.fromkeys(order[held_out:], "train")


def _check_spelling(people: Sequence[str]) -> None:
    """Raise UserError if two names are probably one person, who could then be in two parts."""
    known: dict[str, str] = {}
    for person in people:
        other = known.setdefault(" ".join(person.casefold().split()), person)
        if other != person:
            raise UserError(
                f"{one_line(other)!r} and {one_line(person)!r} are probably one person, who must not be in "
                "two parts; write the name the same way in study.toml or the folders"
            )


def _listed(people: Collection[str]) -> str:
    return one_line(", ".join(sorted(people)[:20])) or "none"
