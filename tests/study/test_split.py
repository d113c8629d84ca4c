"""study/split.py: each person in one part, whatever the seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.study.split import PARTS, divided, split_people

people = st.sets(st.text("abcdefgh", min_size=3, max_size=5), min_size=3, max_size=40)


@given(people, people, st.integers(0, 1000))
def test_each_person_is_in_one_part_and_each_part_has_someone_labelled(labelled, others, seed):
    others -= labelled
    parts = split_people(labelled, others, seed)
    assert parts == split_people(sorted(labelled, reverse=True), others, seed)
    assert parts.keys() == labelled | others
    assert all(parts[person] == "train" for person in others)
    sizes = [sum(parts[person] == part for person in labelled) for part in PARTS]
    assert min(sizes) >= 1
    assert sizes[1] == sizes[2] == max(1, round(0.2 * len(labelled)))


@given(people, st.data(), st.integers(0, 1000))
def test_people_who_were_recorded_together_are_in_one_part(labelled, data, seed):
    names = sorted(labelled)
    pairs = st.sampled_from([set(names[k : k + 2]) for k in range(0, len(names), 2)])  # at most dyads
    together = data.draw(st.lists(pairs, max_size=20))
    parts = split_people(labelled, (), seed, together=together)
    assert parts.keys() == labelled
    assert {*parts.values()} == {*PARTS}
    if len(names) - len({frozenset(pair) for pair in together if len(pair) > 1}) >= 3:
        assert all(len({parts[person] for person in pair}) == 1 for pair in together)
        assert not divided(parts, together)


def test_a_round_robin_is_divided_and_says_so():
    everybody = [{a, b} for a in "abcd" for b in "abcd" if a < b]
    parts = split_people("abcd", "", 0, together=everybody)
    assert {*parts.values()} == {*PARTS}
    lines = divided(parts, everybody)
    assert len(lines) == 5  # all pairs but that of the two in training
    assert all(line.startswith("recorded together, in different parts: ") for line in lines)


def test_who_is_named_for_the_test_is_tested_on_whoever_was_there_too():
    parts = split_people("abcdef", "", 0, ["a"], together=[{"a", "b"}, {"c", "d"}])
    assert [person for person, part in parts.items() if part == "test"] == ["a"]
    assert parts["c"] == parts["d"]
    (line,) = divided(parts, [{"a", "b"}, {"c", "d"}])
    assert "a (test)" in line


def test_people_of_the_test_can_be_chosen():
    parts = split_people("abcdef", "xy", 3, ["b", "e"])
    assert [person for person, part in parts.items() if part == "test"] == ["b", "e"]
    assert sum(part == "validation" for part in parts.values()) == 1


@pytest.mark.parametrize(
    ("labelled", "others", "test", "message"),
    [
        (["a", "b"], ["c"], (), "2 labelled people .a, b.: .* one each; label sessions of more people"),
        ([], ["c"], (), "0 labelled people .none."),
        (["a", "b", "c"], [], ["a", "b"], "name fewer with --test-people"),
        (["a", "b", "c"], ["d"], ["e"], "no 'e'; the study has a, b, c, d"),
        (["a", "b", "c"], ["d"], ["d"], "d has no labels"),
        (["Anna", "b", "anna"], ["d"], (), "'Anna' and 'anna' are probably one person"),
        (["a b", "b", "c"], ["A  b"], (), "must not be in two parts"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(labelled, others, test, message):
    with pytest.raises(UserError, match=message) as error:
        split_people(labelled, others, 0, test)
    assert "\n" not in str(error.value)
