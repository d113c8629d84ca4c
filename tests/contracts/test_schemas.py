import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE, SCHEMAS, schema, schema_of


@pytest.mark.parametrize("known", SCHEMAS.values(), ids=SCHEMAS)
def test_every_feature_has_one_name_and_a_unit(known):
    assert len(known.features) == len(set(known.features)) == len(known.units) == known.dim
    assert schema(known.name) is known
    assert schema_of(known.name, known.dim) is known


def test_dimensions_never_change_within_a_version():
    assert (FACE.name, FACE.dim, AUDIO.name, AUDIO.dim) == ("face/1", 57, "audio/1", 44)


def test_an_unknown_schema_is_named_with_the_known_ones():
    with pytest.raises(UserError, match=r"face/2.*face/1"):
        schema("face/2")


@pytest.mark.parametrize("name", ["gaze/1", "face/2", "", None])
def test_an_unknown_schema_or_none_gets_generated_feature_names(name):
    plain = schema_of(name, 3)
    assert plain.name == (name or "")
    assert (plain.features, plain.units, plain.dim) == (("x0", "x1", "x2"), ("", "", ""), 3)
    assert plain.max_age is None


def test_a_known_schema_keeps_its_dimension():
    with pytest.raises(UserError, match="face/1 has 57 numbers, not 3"):
        schema_of("face/1", 3)
