"""A source's offers against what a bundle takes: by schema, then by name; a mismatch names both sides."""

from pathlib import Path

import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, DEFAULT_MAX_AGE, FACE
from enrapt.realtime.sources.offer import Offer
from enrapt.realtime.sources.source import Source, Wanted, match
from tests.support.bundles import make_bundle

FACES = Offer("face", FACE.name, FACE.dim)
SOUND = Offer("audio", AUDIO.name, AUDIO.dim)


class Offers(Source):
    """A source that only offers."""

    name = "devices"

    def __init__(self, *offers: Offer) -> None:
        self._offers = offers

    def offers(self, inputs):
        return self._offers

    def open(self, wanted, rate):
        raise AssertionError("matching opens nothing")

    def __iter__(self):
        raise AssertionError("matching takes no observation")


@pytest.fixture
def matched(tmp_path: Path):
    """Matches offers to a bundle of these modalities."""

    def run(modalities, *offers: Offer) -> list[Wanted]:
        path = make_bundle(tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx", modalities)
        return match(Offers(*offers), Bundle.load(path).metadata)

    return run


def offers(wanted: list[Wanted]) -> dict[str, str | None]:
    """The name of the offer that each modality comes from."""
    return {w.name: w.offer and w.offer.name for w in wanted}


def mismatch(matched, modalities, *given: Offer) -> str:
    with pytest.raises(UserError) as caught:
        matched(modalities, *given)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_known_schema_is_found_under_any_name(matched):
    wanted = matched(
        [("voice", AUDIO.dim, AUDIO.name, None), ("left", FACE.dim, FACE.name, None)], FACES, SOUND
    )
    assert offers(wanted) == {"voice": "audio", "left": "face"}
    assert [(w.schema, w.dim) for w in wanted] == [("audio/1", AUDIO.dim), ("face/1", FACE.dim)]


def test_max_age_is_the_bundles_own_else_the_schemas_else_some_ticks(matched):
    modalities = [
        ("face", FACE.dim, FACE.name, 1.0),
        ("audio", AUDIO.dim, AUDIO.name, None),
        ("x", 1, None, None),
    ]
    ages = [w.max_age for w in matched(modalities, FACES, SOUND, Offer("x", None, 1))]
    assert ages == [1_000_000_000, round(AUDIO.max_age * 1e9), round(DEFAULT_MAX_AGE / 25 * 1e9)]


def test_what_nothing_gives_is_missing(matched):
    assert offers(matched([("face", FACE.dim, FACE.name, None), ("gaze", 3, "gaze/1", None)], FACES)) == {
        "face": "face",
        "gaze": None,
    }


def test_a_modality_of_another_dimension_is_one_line_that_names_both_sides(matched):
    assert mismatch(matched, [("face", 3, None, None)], FACES) == (
        "devices gives face (face/1), but bundle 'tiny' takes face (3 numbers)"
    )
    assert mismatch(matched, [("gaze", 1, None, None)], Offer("gaze", None, 2)) == (
        "devices gives gaze (2 numbers), but bundle 'tiny' takes gaze (1 number)"
    )


def test_a_modality_that_does_not_fit_is_refused_also_beside_one_that_does(matched):
    line = mismatch(matched, [("face", 3, None, None), ("audio", AUDIO.dim, AUDIO.name, None)], FACES, SOUND)
    assert line == "devices gives face (face/1), but bundle 'tiny' takes face (3 numbers), audio (audio/1)"


def test_another_version_of_the_schema_does_not_fit(matched):
    line = mismatch(matched, [("face", FACE.dim, "face/2", None)], FACES)
    assert line == "devices gives face (face/1), but bundle 'tiny' takes face (face/2)"


def test_two_modalities_of_one_schema_take_the_offers_of_their_names_first(matched):
    two = [("left", FACE.dim, FACE.name, None), ("right", FACE.dim, FACE.name, None)]
    right, other = Offer("right", FACE.name, FACE.dim), Offer("camera 2", FACE.name, FACE.dim)
    assert offers(matched(two, right, other)) == {"left": "camera 2", "right": "right"}
    assert offers(matched(two, other, FACES)) == {"left": "camera 2", "right": "face"}


def test_of_two_offers_of_one_schema_the_one_of_the_same_name_is_taken_else_the_first(matched):
    face = [("face", FACE.dim, FACE.name, None)]
    other = Offer("camera 2", FACE.name, FACE.dim)
    assert offers(matched(face, other, FACES)) == {"face": "face"}
    assert offers(matched(face, other, Offer("camera 3", FACE.name, FACE.dim))) == {"face": "camera 2"}


def test_without_a_schema_the_name_decides(matched):
    heart = [("heart", 2, None, None)]
    assert offers(matched(heart, Offer("heart", None, 2))) == {"heart": "heart"}
    assert offers(matched(heart, Offer("heart", None))) == {"heart": "heart"}  # as many numbers as are wanted
    assert offers(matched(heart, Offer("heart", "heart/1", 2))) == {"heart": "heart"}
    assert offers(matched([("heart", 2, "heart/1", None)], Offer("heart", None, 2))) == {"heart": "heart"}
    assert "takes heart (2 numbers)" in mismatch(matched, heart, Offer("pulse", None, 2))
    assert "gives pulse (heart/1)" in mismatch(matched, heart, Offer("pulse", "heart/1", 2))


def test_an_offer_that_was_asked_for_by_name_must_be_taken(matched):
    face = [("face", FACE.dim, FACE.name, None)]
    assert offers(matched(face, FACES, SOUND)) == {"face": "face"}
    asked = Offer("gaze", None, 3, required=True)
    assert mismatch(matched, face, FACES, asked) == (
        "devices gives gaze (3 numbers), but bundle 'tiny' takes face (face/1)"
    )
    # The device that was asked for gives the modality instead of another of the same name.
    assert offers(matched(face, Offer("face", FACE.name, required=True), FACES)) == {"face": "face"}


def test_a_source_that_gives_nothing_is_refused(matched):
    line = mismatch(matched, [("face", FACE.dim, FACE.name, None)])
    assert line == "devices gives nothing, but bundle 'tiny' takes face (face/1)"


def test_context_and_target_are_not_asked_of_a_source(matched, tmp_path):
    path = make_bundle(tmp_path / "a.onnx", [("face", FACE.dim, FACE.name, None)])
    metadata = Bundle.load(path).metadata
    assert [m.role for m in metadata.modalities] == ["observed", "target"]
    assert offers(match(Offers(FACES), metadata)) == {"face": "face"}
