"""The page of a running replay shows the estimates that are in the file."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from enrapt.cli.demo import CLIP
from tests.support.mjpeg import free_port

pytestmark = pytest.mark.live

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
OPTIONS = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking")


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"user-data-dir={profile}"):
            options.add_argument(f"--{option}")
        driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
        yield driver
        driver.quit()


@pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="no chromium here")
def test_the_page_of_a_replay_shows_the_estimates_of_its_file(browser, face_model, tmp_path):
    port, path = free_port(), tmp_path / "estimates.jsonl"
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", CLIP, "--end", "5", "--realtime"]
    command += ["--face-model", face_model, "--to", f"ui:{port}", "--to", f"jsonl:{path}"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while not path.with_name("estimates.jsonl.part").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        browser.get(f"http://127.0.0.1:{port}/")
        seen = []
        while not path.exists():  # it gets its name when the replay is over
            seen.append(browser.execute_script("return {...document.getElementById('now').dataset}"))
            time.sleep(0.05)
        lines = {(e := json.loads(line))["tick"]: e for line in path.read_text().splitlines()}
        shown = {int(row["tick"]): row for row in seen if row.get("tick")}
        assert len(shown) > 10
        for tick, row in shown.items():
            assert float(row["t"]) == lines[tick]["t"]
            for name in ("mean", "low", "high"):
                assert float(row[name]) == lines[tick]["engagement"][name]
        # The page keeps all of it after the replay.
        time.sleep(1)
        assert process.poll() is None
        history = browser.execute_async_script(
            "const done = arguments[0]; fetch('history').then((answer) => answer.json()).then(done)"
        )
        assert history["mean"] == [e["engagement"]["mean"] for e in lines.values()]
    finally:
        process.send_signal(2)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"outputs" in out
