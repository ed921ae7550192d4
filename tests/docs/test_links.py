"""Links of the documentation resolve, and the site's navigation has every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT_PAGES, page_id
from tumorml.settings import PROJECT_ROOT

LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    return [link for link in LINK.findall(prose) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site build them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        found.add(re.sub(r"[\s-]+", "-", plain))
    return found


@pytest.mark.parametrize("page", [*ROOT_PAGES, *PAGES], ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_site_pages_link_only_to_site_pages(page: Path) -> None:
    targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    outside = [str(target) for target in targets if not target.is_relative_to(DOCS)]
    assert outside == [], "name files of the repository as `code`: the site does not have them"


def test_navigation_has_every_page() -> None:
    listed = set(re.findall(r"[\w./-]+\.md", (PROJECT_ROOT / "mkdocs.yml").read_text()))
    assert {page.relative_to(DOCS).as_posix() for page in PAGES} == listed
