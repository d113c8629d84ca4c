"""No message shows a secret of an address, wherever it is in a command line, and however it is mistyped."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.sources.camera_diagnosis import camera_of, diagnose_camera
from enrapt.realtime.sources.lsl import LslStream

SECRET = set("αβγδ")
secrets = st.text("αβγδ/@:?#&=;%[]' \\\n\x07", min_size=1).filter(lambda text: SECRET & set(text))
schemes = st.sampled_from(
    ["rtps://", "htp://", "http:/", "http:", "rtsp//", "rtsp;//", "mqt://", "ui:", "ws://"]
)


@st.composite
def addresses(draw, scheme=schemes):
    """An address with a password, a token or both, of no kind that would be opened."""
    user = f"anna:{draw(secrets)}@" if draw(st.booleans()) else ""
    name = draw(
        st.sampled_from(["?user=anna&pwd=", "?token=", "?key=", "?a=1&pass=", "/user=anna&password="])
    )
    option = f"{name}{draw(secrets)}" if draw(st.booleans()) or not user else ""
    return f"{draw(scheme)}{user}cam.invalid{draw(st.sampled_from(['', ':554', '/1']))}{option}"


@pytest.mark.parametrize(
    "command",
    [
        ["live", "--no-page", "--mic=none", "--camera"],
        ["live", "--no-page", "--mic=none", "--camera=none", "--to"],
        ["live", "--no-page", "--mic=none", "--camera=none", "--bundle"],
        ["live", "--camra"],  # no such option
        ["live", "--duration"],  # not a number
        ["live", "--stream"],
        ["live", "--offset"],
        ["replay", "nothing.wav", "--context"],
        ["record"],  # one argument too few or too many
        ["replay"],
        ["replay", "nothing.wav", "--to"],
        ["plot"],
        ["inspect"],
        pytest.param(["train", "-o", "run"], marks=pytest.mark.long),  # PyTorch is imported each time
        [],  # no such command
    ],
    ids=lambda command: " ".join(command) or "none",
)
def test_on_the_command_line(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
    @given(addresses())
    def check(address):
        try:
            status = main([*command, address, *(["--no-such-option"] if command == ["record"] else [])])
        except SystemExit as end:
            status = end.code
        assert status in (1, 2)
        assert not SECRET & set("".join(capsys.readouterr()))

    check()


@given(
    addresses(
        st.sampled_from(
            ["http://", "ui:", "ws:", "mqt://", "osc://", "mqtt://", "lsl://", "xml:", "jsonl:ftp://"]
        )
    )
)
def test_of_outputs(address):
    try:
        shown = destination(address).address
    except UserError as error:
        shown = str(error)
    assert not SECRET & set(shown)


@given(addresses())
def test_of_devices(address):
    for make in (camera_of, lambda text: LslStream(text, "face")):
        with pytest.raises(UserError) as refused:
            make(address)
        assert not SECRET & set(str(refused.value))


@pytest.mark.parametrize("scheme", ["http://", "https://", "HTTP://", "rtsp://"])
@pytest.mark.parametrize(
    "rest",
    [
        "anna:αβ@[cam/1",
        "127.0.0.1:αβ/",
        "127.0.0.1:1/1?pwd=α β",
        "anna:αβ@127.0.0.1:1/1?pwd=γδ",
        f"anna:αβ@{'a' * 64}/1",
    ],
)
def test_of_a_camera_that_does_not_open(scheme, rest):
    line = diagnose_camera(scheme + rest, "closed")
    assert line.startswith("camera ")
    assert not SECRET & set(line)
