"""Headless Chromium as the system has it: nothing is downloaded, and it reaches nothing but this machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_PROGRAMS = ("chromium", "chromedriver")
_OPTIONS = (
    "--headless=new",
    "--disable-dev-shm-usage",  # containers have little of it
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,1000",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile. Without Chromium the test is skipped; where CI=true, it fails."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        reason = f"needs {' and '.join(missing)}: on Debian, apt-get install chromium chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own sandbox refuses to work for root
    driver = webdriver.Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def seen(browser: webdriver.Chrome) -> str:
    """The text that a reader sees; none while the page is on its way."""
    return str(browser.execute_script("return document.querySelector('main')?.innerText ?? ''"))


def press(browser: webdriver.Chrome, word: str) -> None:
    """Click the button with that word on it."""
    browser.find_element("xpath", f"//button[text()='{word}']").click()


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser's console says: something that could not be loaded, or that the page forbids itself."""
    entries = browser.get_log("browser")  # type: ignore[no-untyped-call]  # Selenium has not typed it
    return [str(entry["message"]) for entry in entries]
