"""`enrapt extract --engine ray`: the same bytes, lost workers. Only collected where Ray is installed."""

import shutil
import threading
import time

import pytest

from enrapt.cli.on_ray import run_on_ray
from enrapt.cli.recordings import Item
from enrapt.contracts.errors import UserError
from tests.cli.test_extract import content
from tests.support.jobs import by_content

# Of Ray's own files and sockets, and what it announces.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore")]


def run(items, jobs=2, address=None, stop=None):
    stop = stop or threading.Event()
    found = run_on_ray(by_content, items, jobs, address, stop, lambda *_: None)
    return {result.item.name: result for result in found}


def make(folder, **contents):
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [Item(folder / name, name) for name in contents]


def test_the_same_bytes_as_in_processes(command, sound, breaking, tiny_bundle, tmp_path):
    (tmp_path / "some/anna").mkdir(parents=True)
    shutil.copy(sound, tmp_path / "some/anna/1.wav")
    shutil.copy(sound, tmp_path / "some/2.wav")
    shutil.copy(breaking, tmp_path / "some/breaking.m4a")
    (tmp_path / "some/broken.mp4").write_text("Not a film.\n" * 50)
    options = ["--bundle", tiny_bundle, "--jobs", "2"]
    one = command("extract", "some", "-o", "one", *options)
    two = command("extract", "some", "-o", "two", "--engine", "ray", *options)
    assert (one.returncode, two.returncode) == (1, 1), two.stderr
    assert two.stdout.replace("/two", "/one") == one.stdout
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_lost_worker_is_replaced_and_errors_stop_no_other(tmp_path):
    results = run(make(tmp_path, a="crash once", b="1", c="user", d="exit", e="error"))
    assert results["a"].row is not None
    assert results["b"].row is not None
    assert results["c"].error == "is broken; mend it"
    assert results["e"].error == "ZeroDivisionError: a b"
    assert results["d"].row is None
    assert "\n" not in results["d"].error
    calls = (tmp_path / "calls").read_text().split()
    assert (calls.count("a"), calls.count("d"), calls.count("b")) == (2, 4, 1)  # three retries


def test_it_stops_soon(tmp_path):
    stop = threading.Event()
    items = make(tmp_path, a="sleep 60")

    def end():
        while not (tmp_path / "a.started").exists():
            time.sleep(0.05)
        stop.set()

    threading.Thread(target=end).start()
    began = time.monotonic()
    assert run(items, stop=stop) == {}
    assert time.monotonic() - began < 50


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto", "127.0.0.1:99999"])
def test_no_cluster_is_one_line(tmp_path, address):
    with pytest.raises(UserError, match=f"--engine ray: no cluster at {address}"):
        run(make(tmp_path, a="1"), address=address)
