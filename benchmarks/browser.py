"""A headless Chromium for benchmarks of the page, and its screenshots."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver

OPTIONS = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars")


@contextmanager
def browser(width: int = 1200, height: int = 900) -> Iterator[webdriver.Chrome]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        for option in (*OPTIONS, f"user-data-dir={profile}", f"window-size={width},{height}"):
            options.add_argument(f"--{option}")
        driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            yield driver
        finally:
            driver.quit()


def emulate(driver: webdriver.Chrome, width: int, height: int, scheme: str = "light") -> None:
    """Set the size, which for a phone is smaller than any window, and the colour scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def screenshot(driver: webdriver.Chrome, file: Path) -> None:
    image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    image.quantize(256).save(file, optimize=True)
