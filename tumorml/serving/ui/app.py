"""The Streamlit script: navigation, and the title and notice of each page."""

from __future__ import annotations

from functools import partial

import streamlit as st

from tumorml.serving.ui import champion, drop, history, read, review
from tumorml.serving.ui.widgets import show_errors
from tumorml.settings import Settings, get_settings

NOTICE = "Research software; not a medical device."
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5" '
    'fill="#0072B2"/><circle cx="10" cy="6.5" r="2.5" fill="#fff"/></svg>'
)
PAGES = {
    "read": ("Read a scan", "stethoscope", read.page),
    "champion": ("Champion", "trophy", champion.page),
    "history": ("History", "history", history.page),
    "drop": ("Drop a batch", "upload", drop.page),
    "review": ("Review", "rate_review", review.page),
}
"""Title, symbol and function of each page, by URL path."""


def show(name: str, settings: Settings) -> None:
    """Show a page with its title and the notice; errors become messages on the page."""
    title, _, page = PAGES[name]
    st.title(title, anchor=False)
    with st.bottom:  # stays visible while the page scrolls
        st.caption(f":material/info: {NOTICE}")
    with show_errors():
        page(settings)


def main() -> None:
    """Show the page of the current URL path."""
    st.set_page_config(page_title="tumorml", page_icon=ICON, layout="wide")
    settings = get_settings()
    pages = [
        st.Page(
            partial(show, name, settings),
            title=title,
            icon=f":material/{symbol}:",
            url_path=name,
            default=name == "read",
        )
        for name, (title, symbol, _) in PAGES.items()
    ]
    st.navigation(pages).run()


if __name__ == "__main__":
    main()
