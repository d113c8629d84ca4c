"""A headless Chromium, and the page in it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("no Chromium", allow_module_level=True)
OPTIONS = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars")


@contextmanager
def chromium() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"user-data-dir={profile}"):
            options.add_argument(f"--{option}")
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


class Page:
    """The page, loaded and connected."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.get("about:blank")  # ends what the page of an earlier test still does
        for kind in ("browser", "performance"):
            driver.get_log(kind)  # of earlier tests
        driver.get(address)
        self.until(lambda: "Connecting" not in self.alerts)

    def js(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *args)

    def text(self, css: str) -> str:
        text: str = self.js("document.querySelector(arguments[0]).innerText", css)
        return text

    def data(self, css: str = "#now") -> dict[str, str]:
        data: dict[str, str] = self.js("({...document.querySelector(arguments[0]).dataset})", css)
        return data

    @property
    def alerts(self) -> str:
        return self.text("#alerts")

    def key(self, key: str, css: str = "body") -> None:
        self.driver.find_element("css selector", css).send_keys(key)

    def until(self, condition: Callable[[], Any], seconds: float = 8.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text("body")
            time.sleep(0.02)

    def shows(self, tick: int) -> None:
        self.until(lambda: self.data().get("tick") == str(tick))
