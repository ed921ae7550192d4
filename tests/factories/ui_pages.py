"""Pages of the web UI, run by Streamlit's test harness."""

from __future__ import annotations

import re
import string
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.factories.champions import noise_scans
from tumorml.scans.images.decode import encode_png
from tumorml.settings import Settings


def _page_script(name, settings):  # Streamlit runs the source text of this function
    from tumorml.serving.ui.app import show

    show(name, settings)


def _details_script(settings):
    from tumorml.serving.ui.history import cached_predictions, show_details

    rows, _ = cached_predictions(settings, {}, 1)
    show_details(settings, rows[0])


def open_page(name: str, settings: Settings) -> AppTest:
    """Run a page by its URL path; fail on an exception."""
    return _run(_page_script, name, settings)


def open_history_details(settings: Settings) -> AppTest:
    """Run the part of the history page that shows the newest prediction."""
    return _run(_details_script, settings)


def _run(script: Any, *args: object) -> AppTest:
    page = AppTest.from_function(script, args=args, default_timeout=60).run()
    assert not page.exception
    return page


def page_text(page: AppTest) -> str:
    """Return all text of a page as people read it."""
    kinds = ("markdown", "caption", "info", "warning", "error", "success")
    elements: list[Any] = [element for kind in kinds for element in page.get(kind)]
    written = "\n".join(element.value for element in elements)
    return re.sub(f"\\\\([{re.escape(string.punctuation)}])", r"\1", written)


def images(page: AppTest) -> list[Any]:
    """Return the image elements of a page."""
    return list(page.get("image"))


def download_labels(page: AppTest) -> list[str]:
    """Return the labels of the download buttons of a page."""
    buttons: list[Any] = list(page.get("download_button"))
    return [button.label for button in buttons]


def png_upload(name: str, seed: int) -> tuple[str, bytes, str]:
    """Return a file for a file uploader: a noise scan as PNG."""
    return name, encode_png(noise_scans(1, seed)[0]), "image/png"
