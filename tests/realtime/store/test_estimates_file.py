"""Files of outputs are read back."""

import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.store.estimates_file import read_estimates
from enrapt.realtime.streams.samples import Observation


def estimate(tick: int, face: bool) -> Estimate:
    return Estimate(
        tick,
        tick / 25,
        Engagement(0.5 + tick / 100, 0.1, 0.4, 0.6),
        {"face": face, "audio": True},
        {"face": 12.5 if face else None, "audio": 0.0},
        {"face": -1.5 if face else None, "audio": 3.0},
        Latency(0.1, extract={"face": 5.0}),
    )


ESTIMATES = [estimate(tick, tick % 3 > 0) for tick in range(10)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_format_reads_back_exactly(tmp_path, kind):
    path = tmp_path / "estimates"
    with Outputs([f"{kind}:{path}"], live=False, warn=pytest.fail) as outputs:
        for e in ESTIMATES:
            outputs.write(e, Observation(0, 0, {}, {}))
    read = read_estimates(path)
    assert read == ESTIMATES


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no estimate"),
        (b"{}\n", "not estimates"),
        (b'{"tick":0,"t":0', "not estimates"),
        (b"a,b\n1,2\n", "not estimates"),
        (b"tick,t_s\n", "has no estimate"),
        (b"PAR1", "not estimates"),
        (b"\xff\xfe\x00", "not estimates"),
    ],
)
def test_other_files_are_a_user_error(tmp_path, content, complaint):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_estimates(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_estimates(tmp_path / "nothing")
