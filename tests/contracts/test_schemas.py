import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE, SCHEMAS, schema


@pytest.mark.parametrize("known", SCHEMAS.values(), ids=SCHEMAS)
def test_every_feature_has_one_name_and_a_unit(known):
    assert len(known.features) == len(set(known.features)) == len(known.units) == known.dim
    assert schema(known.name) is known


def test_dimensions_never_change_within_a_version():
    assert (FACE.name, FACE.dim, AUDIO.name, AUDIO.dim) == ("face/1", 57, "audio/1", 44)


def test_an_unknown_schema_is_named_with_those_there_are():
    with pytest.raises(UserError, match=r"face/2.*face/1"):
        schema("face/2")
