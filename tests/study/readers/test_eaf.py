"""study/readers/eaf.py: tiers, times without a value, annotations that refer to others, hostile XML."""

import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.study.readers.eaf import confidences, number, read_eaf
from tests.support.study_files import TURNS, elan


def write(tmp_path, text) -> Path:
    path = tmp_path / "talk.eaf"
    path.write_text(text)
    return path


def test_tiers_in_the_order_of_the_file(tmp_path):
    tiers = read_eaf(write(tmp_path, elan(TURNS)))
    assert [tier.name for tier in tiers] == list(TURNS)
    for tier in tiers:
        rows = list(zip(tier.start.tolist(), tier.end.tolist(), tier.text, strict=True))
        assert rows == TURNS[tier.name]


def test_confidences_are_of_the_interval_that_overlaps_most(tmp_path):
    tiers = {tier.name: tier for tier in read_eaf(write(tmp_path, elan(TURNS)))}
    np.testing.assert_array_equal(confidences(tiers["engagement"], tiers["confidence"]), [5, 2, 4])
    np.testing.assert_array_equal(confidences(tiers["operator"], tiers["backchannels"]), [np.nan, np.nan])


def test_a_time_without_a_value_is_between_its_neighbours(tmp_path):
    text = elan({"a": [(1, 2, "x"), (2, 3, "y"), (3, 4, "z")]})
    for slot in ("ts3", "ts4"):
        begin = text.index(f'"{slot}" TIME_VALUE')
        text = text[: begin + len(slot) + 2] + text[text.index("/>", begin) :]
    (tier,) = read_eaf(write(tmp_path, text))
    np.testing.assert_allclose(tier.start, [1, 2 + 1 / 3, 3])
    np.testing.assert_allclose(tier.end, [2, 2 + 2 / 3, 4])


def references(rows: list[tuple[str, str, str]], tier="words") -> str:
    annotations = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}">'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        for name, parent, text in rows
    )
    return f'<TIER TIER_ID="{tier}" LINGUISTIC_TYPE_REF="default-lt">{annotations}</TIER>'


def with_references(*tiers: str) -> str:
    return elan({"a": [(1, 2, "x"), (5, 9, "y")]}).replace(
        "<LINGUISTIC_TYPE ", f"{''.join(tiers)}<LINGUISTIC_TYPE "
    )


def test_annotations_that_refer_to_another_share_its_time(tmp_path):
    words = references([("w1", "a4", "one"), ("w2", "a4", "two"), ("w3", "a2", "three")])
    notes = references([("n1", "w2", "note")], "notes")
    *_, word, note = read_eaf(write(tmp_path, with_references(words, notes)))
    assert word.text == ["three", "one", "two"]
    np.testing.assert_array_equal(word.start, [1, 5, 7])
    np.testing.assert_array_equal(word.end, [2, 7, 9])
    assert (note.start.tolist(), note.end.tolist(), note.text) == ([7], [9], ["note"])


def test_annotations_that_refer_to_each_other_have_no_time(tmp_path):
    *_, tier = read_eaf(
        write(tmp_path, with_references(references([("p", "q", ""), ("q", "p", ""), ("r", "r", "")])))
    )
    assert tier.text == []


def test_a_long_chain_of_references_takes_no_longer_than_its_length(tmp_path):
    chain = [(f"r{k}", f"r{k + 1}" if k < 20_000 else "a2", "") for k in range(20_001)]
    began = time.process_time()
    *_, tier = read_eaf(write(tmp_path, with_references(references(chain))))
    assert len(tier.text) == 20_001
    assert time.process_time() - began < 5


BOMB = """<?xml version="1.0"?>
<!DOCTYPE ANNOTATION_DOCUMENT [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>"""
OTHER_FILE = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&f;</ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "document type"),
        (OTHER_FILE, "document type"),
        ("<ANNOTATION_DOCUMENT>" * 100, "too large"),
        ("", "not XML"),
        ("<ANNOTATION_DOCUMENT>&nothing;</ANNOTATION_DOCUMENT>", "not XML"),
        ('<?xml version="1.0" encoding="nothing"?><a/>', "not XML"),
        ("<html/>", "its root is html"),
        (elan(TURNS).replace('TIME_SLOT_REF2="ts2"', 'TIME_SLOT_REF2="ts99999"'), "damaged"),
        (elan(TURNS).replace('TIME_VALUE="1000"', 'TIME_VALUE="soon"'), "damaged"),
        (elan(TURNS).replace('TIME_VALUE="1000"', f'TIME_VALUE="{"9" * 400}"'), "damaged"),
    ],
)
def test_what_is_not_elans_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_eaf(write(tmp_path, text))


def test_the_number_of_a_text():
    assert [number(t) for t in ("3", " 4 ", "-0.5", "1,25", "+2.")] == [3, 4, -0.5, 1.25, 2]
    assert all(
        np.isnan(number(t)) for t in ("", "three", "1e5", "nan", "inf", "1.2.3", "٣", "1_0", "9" * 400)
    )


def test_a_real_file(shared):
    tiers = {tier.name: tier for tier in read_eaf(next((shared / "elan").glob("*.eaf")))}
    assert list(tiers) == [
        "participant",
        "operator",
        "production_annotation",
        "confidence_production",
        "backchannels",
    ]
    engagement = tiers["production_annotation"]
    assert [number(t) for t in engagement.text] == [3, 3, 3, 3, 4, 4, 3, 3, 3, 5, 5, 5, 5, 2, 5, 5]
    found = confidences(engagement, tiers["confidence_production"])
    assert found.tolist() == [5, 5, 5, 5, 3, 3, 4, 4, 5, 3, 4, 4, 4, 2, 4, 3]
    assert len(tiers["backchannels"].text) == 20
