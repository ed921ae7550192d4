"""Build the documentation into ``site/``: static pages that load nothing from other hosts."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
CACHE = ROOT / ".venv" / "docs"
"""Survives `git clean` of the site, goes with the virtual environment."""

MERMAID_VERSION = "12.3.0"
MERMAID_SHA256 = "336df803d87a38b70a01e736e666c8f7601d2ce42f5e47c8fafe5d721074b9a3"

LOADED = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)
"""An element that makes a browser fetch from another host; plain links do not match."""


def main() -> None:
    """Build the site; exit with a message if a link is dead or a page loads a foreign file."""
    mermaid = mermaid_script()
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run(build, cwd=ROOT).returncode:
        sys.exit("The documentation has dead links; see above.")
    (SITE / "assets").mkdir(exist_ok=True)
    (SITE / "assets" / "mermaid.min.js").write_bytes(mermaid)
    foreign = sorted(
        f"{page.relative_to(SITE)}: {element}"
        for page in SITE.rglob("*.html")
        for element in LOADED.findall(page.read_text(encoding="utf-8"))
        if 'rel="canonical"' not in element
    )
    if foreign:
        sys.exit("The site loads files from other hosts:\n" + "\n".join(foreign))
    sys.stdout.write(f"The documentation is at {SITE / 'index.html'}\n")


def mermaid_script() -> bytes:
    """Return the Mermaid bundle, from the cache or by ``npm pack``; its checksum is pinned."""
    cached = CACHE / f"mermaid-{MERMAID_VERSION}.min.js"
    if not cached.exists():
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run(
                    ["npm", "pack", "--silent", f"mermaid@{MERMAID_VERSION}"],
                    cwd=folder,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                sys.exit(f"The diagrams need the npm package mermaid; `npm pack` failed: {error}")
            with tarfile.open(Path(folder) / f"mermaid-{MERMAID_VERSION}.tgz") as package:
                member = package.extractfile("package/dist/mermaid.min.js")
                script = member.read() if member else b""
        if hashlib.sha256(script).hexdigest() != MERMAID_SHA256:
            sys.exit(f"mermaid {MERMAID_VERSION} from npm does not have the pinned checksum.")
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(script)
    return cached.read_bytes()


if __name__ == "__main__":
    main()
