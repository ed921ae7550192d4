"""Elements and text formats that several pages share."""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from sqlalchemy.exc import DBAPIError

from tumorml.datasets.resize import fit_to_square
from tumorml.errors import TumorMLError
from tumorml.objects.keys import scan_key
from tumorml.reports.facts.heatmap_claims import load_heatmap_claim
from tumorml.scans.images.decode import decode
from tumorml.serving.ui.queries import Row, read_object
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

_SIDE = 256
Width = int | Literal["stretch", "content"]


@contextmanager
def show_errors() -> Iterator[None]:
    """Show an error of the block as a message on the page."""
    try:
        yield
    except TumorMLError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
    except DBAPIError as error:
        logger.warning("a query to the results store failed: %s", error.orig)
        st.error(
            "The results store does not respond or is outdated. Check that the service is running "
            "and that `tumorml migrate` was run after the last update.",
            icon=":material/error:",
        )


def show_scan(settings: Settings, scan: str, caption: str, width: Width = "stretch") -> None:
    """Show a stored scan on a black square, with a caption."""
    data = read_object(settings, scan_key(scan))
    square = None if data is None else fit_to_square(decode(data).pixels, _SIDE)
    _show_image(square, caption, alt=f"MRI scan: {caption}", width=width)


def show_stored_image(settings: Settings, key: str, caption: str, *, alt: str) -> None:
    """Show an image of the object store with a caption; only the caption if it is missing."""
    _show_image(read_object(settings, key), caption, alt=alt, width="content")


def show_heatmap_claim(settings: Settings, model_version_id: str) -> None:
    """Show the statement about a model version's heatmaps; call it wherever one is shown."""
    claim = load_heatmap_claim(settings, model_version_id)
    if claim is not None:
        st.caption(f":orange[{claim.text}]" if claim.is_warning else claim.text)


def _show_image(
    image: bytes | NDArray[np.uint8] | None, caption: str, *, alt: str, width: Width
) -> None:
    if image is None:
        st.caption(f"(image not found) {caption}")
    else:
        st.image(image, caption, width=width, output_format="PNG", alt=alt)


def show_table(rows: Sequence[Row]) -> None:
    """Show rows as a table."""
    st.dataframe(format_times(rows), hide_index=True, width="stretch")


def format_times(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows with every datetime as text."""
    return [
        {
            name: format_time(value) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def escape_markdown(value: str) -> str:
    """Escape a text that users entered, such as a file name, for Markdown."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", value)


def format_label(label: str) -> str:
    """Return a label or task with spaces instead of underscores."""
    return label.replace("_", " ")


def format_time(moment: datetime) -> str:
    """Return a UTC time to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def format_percent(share: float) -> str:
    """Return a share in 0..1 as a percentage that is never rounded to 0 or 100 %."""
    if 0.999 < share < 1:
        return "> 99.9 %"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"
