"""Origins and tokens that a user gives, in Python, on the command line and in the environment."""

import argparse
import os
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enrapt.cli import live, replay
from enrapt.cli.arguments import outputs_of
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.outputs.addresses import destination
from enrapt.realtime.page.options import TOKEN, origin_of, token_of
from tests.support.mjpeg import Server
from tests.support.served import request

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def fail(line):
    pytest.fail(line)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:8443", "https://app.example:8443"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("http://192.168.1.5:80", "http://192.168.1.5"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origin_is_as_browsers_send_it(text, origin):
    assert origin_of(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "null", "https://*", "https://*.example", "app.example", "//app.example", "https://"),
        *(
            "https://app.example/",
            "https://app.example/page",
            "https://app.example?x",
            "https://app.example#x",
        ),
        *("https://anna:αβγ@app.example", "https://app.example:0", "https://app.example:65536", "https://a:"),
        *(
            "https://a b",
            "https://a\nb",
            "https://bücher.example",
            "http://[::1",
            "http://[:::]",
            "https://a,b",
        ),
    ],
)
def test_what_is_no_origin_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="give SCHEME://HOST") as refused:
        origin_of(text)
    assert "αβγ" not in str(refused.value)
    with pytest.raises(UserError):
        destination(f"ui:0?allow-origin={text}")


@given(st.text("htps:/.[]*1af@?#ü ") | st.text())
@example("http://a")
def test_any_text_is_an_origin_or_refused(text):
    try:
        origin = origin_of(text)
    except UserError:
        return
    assert origin_of(origin) == origin
    assert not set("*/@?#") & set(origin.partition("://")[2])


def test_token_is_the_files_or_else_the_environments(file, monkeypatch):
    assert token_of(None, fail) is None
    assert token_of(file, fail) == SECRET
    monkeypatch.setenv(TOKEN, "x" * 16)
    assert token_of(None, fail) == "x" * 16
    assert token_of(file, fail) == SECRET


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\n", b"short", b"x" * 15, b"x" * 513, b"x" * 10_000, b"\xff" * 20, b"\0" * 16),
        *(b"two lines of\nthe file", b"with a space 1234", b"semicolon;1234567", b'quote"12345678901'),
        "ümlaut0123456789".encode(),
    ],
)
def test_invalid_token_is_one_line_that_does_not_show_it(file, content, monkeypatch):
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"token: a token is one line of 16 to 512") as refused:
        token_of(file, fail)
    assert len(content) < 5 or content.decode("latin-1") not in str(refused.value)
    if b"\0" not in content:
        monkeypatch.setenv(TOKEN, os.fsdecode(content))
        with pytest.raises(UserError, match=rf"^{TOKEN}: a token is one line"):
            token_of(None, fail)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_token_file_that_cannot_be_read_is_one_line(tmp_path, kind):
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no FIFOs")
        os.mkfifo(path)
    for one in (path, tmp_path / f"{kind}\0"):
        with pytest.raises(UserError, match=f"{kind}.*: "):
            token_of(one, fail)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
def test_token_that_others_can_read_is_used_with_a_warning(file, mode, warned):
    file.chmod(mode)
    lines = []
    assert token_of(file, lines.append) == SECRET
    assert len(lines) == warned
    assert all("chmod 600" in line and SECRET not in line for line in lines)


@pytest.mark.live
@pytest.mark.parametrize("given", ["file", "environment"])
def test_given_token_is_required_on_this_machine_too_and_not_shown(file, given, monkeypatch):
    address = "ui:0"
    if given == "file":
        address += f"?token-file={file}"
    else:
        monkeypatch.setenv(TOKEN, SECRET)
    with Outputs([address], live=True, warn=fail) as outputs:
        page = outputs.page
        assert list(outputs.counts) == ["ui:0"]
        assert SECRET not in page.address + page.invitation
        assert "your token" in page.invitation
        assert request(page, "/metrics")[0] == 401
        assert request(page, "/metrics", Authorization=f"Bearer {SECRET}")[0] == 200
        for path in ("/", "/page.js", "/metrics", "/openapi.json"):
            status, _, content = request(page, f"{path}?token={SECRET}")
            assert status == 200
            assert SECRET.encode() not in content


@pytest.mark.live
def test_given_token_is_in_no_file_and_no_message_of_a_session(file, tmp_path, face_model, capfd):
    with Server() as camera:
        command = ["record", tmp_path / "session", "--camera", camera.address, "--mic", "none"]
        command += ["--duration", "2", "--to", "ui:0", "--token-file", file]
        command += ["--to", f"jsonl:{tmp_path / 'estimates.jsonl'}"]
        command += ["--stats", tmp_path / "stats.json", "--face-model", face_model]
        assert main(list(map(str, command))) == 0
    out, err = capfd.readouterr()
    assert "with ?token= and your token" in err
    assert SECRET not in out + err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != file]
    assert {"estimates.jsonl", "stats.json", "session.json"} <= {path.name for path in written}
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


@pytest.mark.live
@pytest.mark.parametrize("token", ["a+b/c=d~e.f_g-h0", "+" * 16])
def test_token_may_be_in_an_address_as_it_is(file, token):
    file.write_text(token)
    with Outputs([f"ui:0?token-file={file}"], live=True, warn=fail) as outputs:
        assert request(outputs.page, f"/metrics?token={token}")[0] == 200
        quoted = "".join(f"%{ord(c):02x}" for c in token)
        status, headers, _ = request(outputs.page, f"/metrics?token={quoted}")
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        assert request(outputs.page, "/metrics", Cookie=cookie)[0] == 200


@pytest.mark.parametrize(
    "options",
    [
        "token=0123456789abcdef",
        "allow-origin",
        "x=1",
        "token-file=a&token-file=b",
        "allow-origin=http://a&",
        "%ff=1",
    ],
)
def test_invalid_options_are_one_line(options):
    for address in (f"ui?{options}", f"ui:8765?{options}", f"http:127.0.0.1:0?{options}"):
        with pytest.raises(UserError, match=r"allow-origin=ORIGIN&token-file=FILE$") as refused:
            destination(address)
        assert SECRET not in str(refused.value)


def parsed(module, *arguments):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(["clip.mp4", *arguments] if module is replay else arguments)


@pytest.mark.parametrize("module", [live, replay])
def test_options_of_the_command_line_are_those_of_the_address(module):
    options = ["--allow-origin", "http://a:1", "--allow-origin=http://b", "--token-file", "a token"]
    args = parsed(module, "--to", "csv:a?b", "--to", "ui:0", *options)
    query = "allow-origin=http%3A%2F%2Fa%3A1&allow-origin=http%3A%2F%2Fb&token-file=a+token"
    assert outputs_of(args) == ["csv:a?b", f"ui:0?{query}"]
    assert destination(outputs_of(args)[1]).address == "ui:0"
    assert outputs_of(parsed(module, *options), ["ui"]) == [f"ui?{query}"]
    args = parsed(module, "--to", "ui?allow-origin=http://c", *options[:2])
    assert outputs_of(args) == ["ui?allow-origin=http://c&allow-origin=http%3A%2F%2Fa%3A1"]
    assert outputs_of(parsed(module, "--to", "ui")) == ["ui"]
    with pytest.raises(UserError, match=r"^--allow-origin: .* --to ui"):
        outputs_of(parsed(module, "--to", "csv:a", *options))
