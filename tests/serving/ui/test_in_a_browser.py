"""The web UI in Chromium at desktop and phone width: no browser errors, nothing cut off."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.factories.running_api import wait_until
from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.results.session import reader_url, writer_url
from tumorml.scans.images.decode import encode_png
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.inbox.drops import waiting_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.serving.ui.command import ui_command
from tumorml.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture
def ui_url(api: Settings) -> Iterator[str]:
    """URL of a UI process started like `tumorml ui`, with a running API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "TUMORML_HOME": str(api.home),
        "TUMORML_DATABASE_URL": writer_url(api),
        "TUMORML_READER_DATABASE_URL": reader_url(api),
        "TUMORML_API_PORT": str(api.api_port),
    }
    settings = api.model_copy(update={"ui_port": port})
    process = subprocess.Popen(ui_command(settings), env=environment)

    def is_ready() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{settings.ui_url}/_stcore/health", trust_env=False).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, seconds=120)
        yield settings.ui_url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=["Desktop Chrome", "iPhone 13"])
def page(request: pytest.FixtureRequest, ui_url: str) -> Iterator[Page]:
    """A browser page on the UI; errors and warnings of the browser fail the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(**playwright.devices[request.param])
        problems: list[str] = []
        page.on(
            "console",
            lambda one: problems.append(one.text) if one.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda failed: problems.append(failed.url))
        page.goto(ui_url)
        yield page
        chromium.close()
    assert problems == []


def test_scan_history_and_drop_work_at_every_width(
    page: Page, settings: Settings, champion: str, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    files = []
    for n, drawn in enumerate(draw_patient(load_anatomy(), "glioma", 0, seed=7, slices=2)):
        files.append(tmp_path / f"slice-{n}.png")
        files[-1].write_bytes(encode_png(drawn.image))

    page.locator("input[type=file]").set_input_files(files[0])
    expect(page.get_by_text("scan under the heatmap")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Most similar training scans")).to_be_visible()
    expect(page.get_by_text(champion)).to_be_visible()
    check_width_and_shoot(page, tmp_path / "read.png")

    go_to(page, "History")
    one_prediction = "1 prediction, newest first."
    expect(page.get_by_text(one_prediction)).to_be_visible()
    for source, message in (
        ("evaluation", "No prediction matches the filters."),
        ("api", one_prediction),
    ):
        page.get_by_role("combobox", name="Source").click()
        page.get_by_role("option", name=source).click()
        expect(page.get_by_text(message)).to_be_visible()
    check_width_and_shoot(page, tmp_path / "history.png")

    go_to(page, "Drop a batch")
    page.locator("input[type=file]").set_input_files(files)
    expect(page.get_by_text("slice-1.png")).to_be_visible()
    page.get_by_role("button", name="Drop", exact=True).click()
    expect(page.get_by_text("waits in the inbox")).to_be_visible()
    (drop,) = waiting_drops(settings)
    (batch,) = claim_drops(settings)
    ingest_batch(settings, batch)
    expect(page.get_by_text("from the drop")).to_be_visible(timeout=15_000)
    expect(page.get_by_text(drop.name, exact=True)).to_be_visible()
    check_width_and_shoot(page, tmp_path / "drop.png")

    for title in ("Champion", "Review"):
        go_to(page, title)
        check_width_and_shoot(page, tmp_path / f"{title.lower()}.png")


def go_to(page: Page, title: str) -> None:
    """Open a page of the UI by the navigation."""
    from playwright.sync_api import expect

    link = page.get_by_role("link", name=title)
    if page.viewport_size and page.viewport_size["width"] < 768:
        page.get_by_test_id("stExpandSidebarButton").click()
    link.click()
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()


def check_width_and_shoot(page: Page, path: Path) -> None:
    """Check that no element is wider than the window, and save a screenshot."""
    from playwright.sync_api import expect

    expect(page.get_by_text("not a medical device")).to_be_visible()
    overhang = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overhang <= 0
    page.screenshot(path=path)
