"""A headless Chromium, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium(width: int = 1200, height: int = 1600) -> Iterator[Any]:
    """Selenium's driver of a browser that asks the network for nothing; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver_file = shutil.which("chromedriver")
    if not driver_file:
        pytest.skip("chromedriver is not installed (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--window-size={width},{height}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_file))
    try:
        yield driver
    finally:
        driver.quit()
