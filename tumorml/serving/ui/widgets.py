"""What several pages show."""

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
from tumorml.reports.facts.heatmap_claims import heatmap_claim
from tumorml.scans.images.decode import decode
from tumorml.serving.ui.queries import Row, object_of
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

_SIDE = 256
Width = int | Literal["stretch", "content"]


@contextmanager
def told() -> Iterator[None]:
    """Tell what went wrong in the place of what could not be shown."""
    try:
        yield
    except TumorMLError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except DBAPIError as error:
        logger.warning("the results store refuses: %s", error.orig)
        st.error(
            "The results store does not answer as it should: is the service running, and was "
            "`tumorml migrate` run since the last update?",
            icon=":material/error:",
        )


def scan_picture(settings: Settings, scan: str, caption: str, width: Width = "stretch") -> None:
    """A scan of the store, on a black square, with a line below it."""
    data = object_of(settings, scan_key(scan))
    square = None if data is None else fit_to_square(decode(data).pixels, _SIDE)
    _picture(square, caption, alt=f"MRI scan: {caption}", width=width)


def stored_picture(settings: Settings, key: str, caption: str, *, alt: str) -> None:
    """A picture of the object store with a line below it; where it is gone, only that line."""
    _picture(object_of(settings, key), caption, alt=alt, width="content")


def heatmap_worth(settings: Settings, model_version_id: str) -> None:
    """What the heatmaps of a model version are worth: it stands beside each that is shown."""
    claim = heatmap_claim(settings, model_version_id)
    if claim is not None:
        st.caption(f":orange[{claim.text}]" if claim.is_warning else claim.text)


def _picture(
    picture: bytes | NDArray[np.uint8] | None, caption: str, *, alt: str, width: Width
) -> None:
    if picture is None:
        st.caption(f"(no picture here) {caption}")
    else:
        st.image(picture, caption, width=width, output_format="PNG", alt=alt)


def table(rows: Sequence[Row]) -> None:
    """Rows as a table."""
    st.dataframe(readable(rows), hide_index=True, width="stretch")


def readable(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows with moments as people read them."""
    return [
        {name: at(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]


def plain(words: str) -> str:
    """Words of somebody's, such as the name of a file, that are not to be read as Markdown."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", words)


def named(label: str) -> str:
    """A label as people read it."""
    return label.replace("_", " ")


def at(moment: datetime) -> str:
    """A moment, to the minute, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def percent(share: float) -> str:
    """A probability or a share, never rounded to certainty."""
    if 0.999 < share < 1:
        return "> 99.9 %"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"
