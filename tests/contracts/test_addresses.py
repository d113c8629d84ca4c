"""No part of a secret is shown, however the address is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.addresses import without_password


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
    st.sampled_from(["rtsp://", "http://", "mqtt://", "//", ""]),
    st.sampled_from(["cam", "cam:554", "192.168.1.2", "[fe80::1]:554"]),
    st.sampled_from(["", "/", "/1", "/room/3"]),
)


@given(places, st.sampled_from(["anna:", "anna", "", ":"]), secrets)
def test_no_part_of_a_password_is_shown(place, user, secret):
    scheme, host, path = place
    shown = without_password(f"{scheme}{user}{secret}@{host}{path}")
    assert not set("αβγδ") & set(shown)
    assert not scheme or "anna" not in shown  # "anna://" could be one


@given(places, st.sampled_from(["?token=", "?size=640&password=", "?key=", "?", "#"]), secrets)
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
