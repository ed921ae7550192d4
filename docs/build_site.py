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
"""Cache of npm files, in the virtual environment, so that removing ``site/`` keeps it."""

SCRIPTS = {
    "mermaid.min.js": (
        "mermaid@12.3.0",
        "package/dist/mermaid.min.js",
        "336df803d87a38b70a01e736e666c8f7601d2ce42f5e47c8fafe5d721074b9a3",
    ),
    "iframe-worker.js": (
        "iframe-worker@1.0.4",
        "package/shim/index.js",
        "e8e412dbcfea9b7e31b5ffa288d7b6035915e714c542f4176a0cdbe262fc9609",
    ),
}
"""Scripts by their name in the site: npm package, file in the package, SHA-256 of the file.

Mermaid draws the diagrams; iframe-worker makes the search work from the file system.
"""

LOADED = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)
"""An element that makes a browser fetch from another host; plain links do not match."""


def main() -> None:
    """Build the site; exit with a message if a link is dead or a page loads a foreign file."""
    scripts = {name: script(*source) for name, source in SCRIPTS.items()}
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run(build, cwd=ROOT).returncode:
        sys.exit("The documentation has dead links; see above.")
    (SITE / "assets").mkdir(exist_ok=True)
    for name, content in scripts.items():
        (SITE / "assets" / name).write_bytes(content)
    foreign = sorted(
        f"{page.relative_to(SITE)}: {element}"
        for page in SITE.rglob("*.html")
        for element in LOADED.findall(page.read_text(encoding="utf-8"))
        if 'rel="canonical"' not in element
    )
    if foreign:
        sys.exit("The site loads files from other hosts:\n" + "\n".join(foreign))
    sys.stdout.write(f"The documentation is at {SITE / 'index.html'}\n")


def script(package: str, file: str, sha256: str) -> bytes:
    """Return a file of an npm package, from the cache or by ``npm pack``.

    Args:
        package: Name and version, such as ``mermaid@12.3.0``.
        file: Path of the file inside the package.
        sha256: Its checksum, in hex; another content stops the build.
    """
    cached = CACHE / f"{package}.js"
    if not cached.exists():
        with tempfile.TemporaryDirectory() as folder:
            try:
                subprocess.run(
                    ["npm", "pack", "--silent", package],
                    cwd=folder,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                sys.exit(f"The site needs the npm package {package}; `npm pack` failed: {error}")
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as contents:
                member = contents.extractfile(file)
                content = member.read() if member else b""
        if hashlib.sha256(content).hexdigest() != sha256:
            sys.exit(f"{file} of the npm package {package} does not have the pinned checksum.")
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(content)
    return cached.read_bytes()


if __name__ == "__main__":
    main()
