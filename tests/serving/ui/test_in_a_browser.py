"""The page as a browser has it: what people do there, on a desk and on a phone, without errors."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.factories.running_api import running_api
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.results.session import reader_url, writer_url
from tumorml.scans.images.decode import encode_png
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.serving.ui.command import ui_command
from tumorml.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here"),
]


@pytest.fixture
def address(settings: Settings, champion: str) -> Iterator[str]:
    """Of a page that runs as `tumorml ui` starts it, with an API behind it."""
    with socket.socket() as free, running_api(settings) as asked:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = os.environ | {
            "TUMORML_HOME": str(settings.home),
            "TUMORML_DATABASE_URL": writer_url(settings),
            "TUMORML_READER_DATABASE_URL": reader_url(settings),
            "TUMORML_API_PORT": str(asked.api_port),
        }
        command = ui_command(settings.model_copy(update={"ui_port": port}))
        page = subprocess.Popen(command, env=environment)
        try:
            found = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while not _answers(found):
                assert page.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            yield found
        finally:
            page.terminate()
            page.wait()


@pytest.fixture(params=["Desktop Chrome", "iPhone 13"])
def browser(request: pytest.FixtureRequest, address: str) -> Iterator[Page]:
    """A window on the page, that must not complain."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(**playwright.devices[request.param])
        complaints: list[str] = []
        page.on(
            "console",
            lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda failed: complaints.append(failed.url))
        page.goto(address)
        yield page
        chromium.close()
    assert complaints == []


def test_people_read_a_scan_look_back_and_drop_a_batch(
    browser: Page, settings: Settings, champion: str, tmp_path: Path
) -> None:
    files = []
    for n, made in enumerate(draw_patient(load_anatomy(), "glioma", 0, seed=7, slices=2)):
        files.append(tmp_path / f"slice-{n}.png")
        files[-1].write_bytes(encode_png(made.image))

    browser.locator("input[type=file]").set_input_files(files[0])
    expect(browser.get_by_text("scan under the heatmap")).to_be_visible(timeout=60_000)
    expect(browser.get_by_text("Most similar training scans")).to_be_visible()
    expect(browser.get_by_text(champion)).to_be_visible()
    _shoot(browser, tmp_path / "read.png")

    _go(browser, "History")
    expect(browser.get_by_text("1 prediction, the newest first.")).to_be_visible()
    for source, found in (
        ("evaluation", "No prediction is like that."),
        ("api", "1 prediction, the newest first."),
    ):
        browser.get_by_role("combobox", name="Source").click()
        browser.get_by_role("option", name=source).click()
        expect(browser.get_by_text(found)).to_be_visible()
    _shoot(browser, tmp_path / "history.png")

    _go(browser, "Drop a batch")
    browser.locator("input[type=file]").set_input_files(files)
    expect(browser.get_by_text("slice-1.png")).to_be_visible()
    browser.get_by_role("button", name="Drop", exact=True).click()
    expect(browser.get_by_text("waits in the inbox")).to_be_visible()
    (drop,) = waiting_drops(settings)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    expect(browser.get_by_text("became the batch")).to_be_visible(timeout=15_000)
    expect(browser.get_by_text(drop.name, exact=True)).to_be_visible()
    _shoot(browser, tmp_path / "drop.png")

    for title in ("Champion", "Review"):
        _go(browser, title)
        _shoot(browser, tmp_path / f"{title}.png")


def _go(browser: Page, title: str) -> None:
    link = browser.get_by_role("link", name=title)
    if browser.viewport_size and browser.viewport_size["width"] < 768:
        browser.get_by_test_id("stExpandSidebarButton").click()
    link.click()
    expect(browser.get_by_role("heading", name=title, exact=True)).to_be_visible()


def _shoot(browser: Page, path: Path) -> None:
    """What a person sees; nothing may stick out to the side."""
    expect(browser.get_by_text("not a medical device")).to_be_visible()
    width = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0
    browser.screenshot(path=path)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/_stcore/health", trust_env=False).is_success
    except httpx.TransportError:
        return False
