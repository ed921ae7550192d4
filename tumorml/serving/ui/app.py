"""What Streamlit runs: the navigation, and one page under what stands on all of them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from tumorml.serving.ui import champion, drop, history, read, review
from tumorml.serving.ui.widgets import told
from tumorml.settings import Settings, get_settings

NOTICE = "Research software; not a medical device."
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5" '
    'fill="#0072B2"/><circle cx="10" cy="6.5" r="2.5" fill="#fff"/></svg>'
)
# Title, symbol and content of each, by its path.
PAGES = {
    "read": ("Read a scan", "stethoscope", read.page),
    "champion": ("Champion", "trophy", champion.page),
    "history": ("History", "history", history.page),
    "drop": ("Drop a batch", "upload", drop.page),
    "review": ("Review", "rate_review", review.page),
}


def show(name: str, settings: Settings) -> None:
    """One page; what a user can put right is told in a sentence."""
    title, _, page = PAGES[name]
    st.title(title, anchor=False)
    with st.bottom:  # in sight however far one scrolls
        st.caption(f":material/info: {NOTICE}")
    with told():
        page(settings)


def main() -> None:
    """Show the page that the address names."""
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
