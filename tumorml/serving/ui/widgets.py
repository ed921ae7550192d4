"""What several pages show."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

import streamlit as st
from sqlalchemy.exc import DBAPIError

from tumorml.errors import TumorMLError
from tumorml.scans.names import scan_key
from tumorml.serving.ui.store import Row, object_of
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

Width = int | Literal["stretch", "content"]


@contextmanager
def told() -> Iterator[None]:
    """Tell what went wrong in the place of what could not be shown."""
    try:
        yield
    except TumorMLError as error:
        st.error(str(error), icon=":material/error:")
    except DBAPIError as error:
        logger.warning("the results store refuses: %s", error.orig)
        st.error(
            "The results store does not answer as it should: is the service running, and was "
            "`tumorml migrate` run since the last update?",
            icon=":material/error:",
        )


def scan_picture(settings: Settings, scan: str, caption: str, width: Width = "stretch") -> None:
    """A scan of the store with a line below it."""
    stored_picture(settings, scan_key(scan), caption, alt=f"MRI scan: {caption}", width=width)


def stored_picture(
    settings: Settings, key: str, caption: str, *, alt: str, width: Width = "stretch"
) -> None:
    """A picture of the object store with a line below it; where it is gone, only that line."""
    data = object_of(settings, key)
    if data is None:
        st.caption(f"(no picture here) {caption}")
    else:
        st.image(data, caption, width=width, alt=alt)


def table(rows: Sequence[Row]) -> None:
    """Rows as a table."""
    st.dataframe(list(rows), hide_index=True, width="stretch")


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
