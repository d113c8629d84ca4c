"""No part of a secret is shown, however the address is written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.addresses import without_password, without_passwords


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://anna:secret@cam/1", "rtsp://cam/1"),
        ("rtsp://anna:pa/ss@cam/1", "rtsp://cam/1"),
        ("rtsp://anna:pa@ss@cam/1", "rtsp://cam/1"),
        ("rtsp://anna:pa:ss@cam:554/1", "rtsp://cam:554/1"),
        ("rtsp://anna:p a s@cam", "rtsp://cam"),
        ("rtsp://anna:pässwörd@cam", "rtsp://cam"),
        ("rtsp://anna:pa%40ss@[fe80::1%25eth0]:554/1", "rtsp://[fe80::1%25eth0]:554/1"),
        ("rtsp://token@cam/1", "rtsp://cam/1"),
        ("anna:secret@cam/1", "cam/1"),
        ("//anna:secret@cam/1", "cam/1"),
        ("http://cam/video?token=secret", "http://cam/video?…"),
        ("http://anna:x@cam/video?size=640&key=secret", "http://cam/video?…"),
        ("http://cam/video#secret", "http://cam/video#…"),
        ("rtsp://cam:554/user=anna&password=secret&channel=1", "rtsp://cam:554/user=…"),
        # It may be a password with a question mark in it, or a token with an @.
        ("rtsp://anna:pa?ss@cam/1", "rtsp://…"),
        ("http://cam/video?token=sec@ret", "http://…"),
        # The host was forgotten, or its @ is encoded.
        ("rtsp://anna:secret", "rtsp://…"),
        ("rtsp://anna:secret%40cam/1", "rtsp://…"),
        # A scheme that is mistyped, an @ or a query that is encoded.
        ("rtsp:/anna:secret@cam/1", "rtsp:/cam/1"),
        ("rtsp:/anna:secret", "rtsp:/…"),
        ("rtsp:anna:secret@cam/1", "cam/1"),
        ("http:anna:secret", "http:…"),
        ("anna:secret%40cam/1", "anna:…"),
        ("rtsp//cam/1?user=anna&pwd=secret", "rtsp//cam/1?…"),
        ("http://cam/1%3Fpwd%3Dsecret", "http://cam/1%3F…"),
        ("http://cam/1&secret", "http://cam/1&…"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("/dev/video0", "/dev/video0"),
        ("out.jsonl", "out.jsonl"),
        ("xml:out.xml", "xml:out.xml"),
        ("", ""),
    ],
)
def test_what_is_shown(address, shown):
    assert without_password(address) == shown


secrets = st.text("αβγδ/@:?#&=;%[] \n", min_size=1)
places = st.tuples(
    st.sampled_from(["rtsp://", "http://", "mqtt://", "rtps://", "http:/", "http:///", "http//", "//", ""]),
    st.sampled_from(["cam", "cam:554", "192.168.1.2", "[fe80::1]:554"]),
    st.sampled_from(["", "/", "/1", "/room/3"]),
)


@given(places, st.sampled_from(["anna:", "anna", "", ":"]), secrets)
def test_no_part_of_a_password_is_shown(place, user, secret):
    scheme, host, path = place
    shown = without_password(f"{scheme}{user}{secret}@{host}{path}")
    assert not set("αβγδ") & set(shown)
    assert not scheme or "anna" not in shown  # "anna://" could be one


@given(
    places,
    st.sampled_from(["?token=", "?size=640&pwd=", "?user=a&pass=", "?key=", "?", "#", "&", "%3Fkey%3D"]),
    secrets,
)
def test_no_part_of_an_option_is_shown(place, option, secret):
    scheme, host, path = place
    assert not set("αβγδ") & set(without_password(f"{scheme}{host}{path}{option}{secret}"))


@given(places, secrets, secrets)
def test_nor_of_both(place, password, token):
    scheme, host, path = place
    shown = without_password(f"{scheme}anna:{password}@{host}{path}?token={token}")
    assert not set("αβγδ") & set(shown)


@given(st.text())
def test_any_text_has_a_form_to_show(address):
    shown = without_password(address)
    assert len(shown) <= len(address) + 1
    assert without_password(shown) == shown


@given(places, secrets, st.sampled_from(["", "--camera=", "jsonl:"]))
def test_a_message_that_quotes_an_argument_does_not_show_them(place, secret, before):
    scheme, host, path = place
    address = f"{scheme or '//'}anna:{secret}@{host}{path}?pwd={secret}"
    for quoted in (before + address, repr(before + address), address, str(Path(address))):
        assert not set("αβγδ") & set(without_passwords(f"{quoted}: no such file", [before + address]))


def test_passwords_in_a_name_before_its_value_are_hidden():
    said = without_passwords("no context 'http://u:αβγδ@x'", ["http://u:αβγδ@x=1"])
    assert said == "no context 'http://x'"


@pytest.mark.parametrize(
    "argument",
    ["a@b=c.wav", "/data/who=anna/x#1.wav", "jsonl:/data/who=anna/x.jsonl", "C:/Users/x.wav", "-", ""],
)
def test_names_of_files_are_shown(argument):
    assert without_passwords(f"{argument}: no such file", [argument]) == f"{argument}: no such file"
