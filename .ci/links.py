"""Ask for each page of the web that the documentation links to: `python .ci/links.py [FOLDER]`; 1 if one is gone.

Addresses in code are examples, and are not asked for.
"""

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\((https?://[^)\s#]+)")
GONE = (404, 410)
"""Other refusals are a server's way of meeting a program, and no sign of a dead page."""


def links(folder: Path) -> Iterator[tuple[Path, str]]:
    """Give each link of the pages, with the page."""
    for path in sorted((*folder.glob("*.md"), *folder.glob("docs/**/*.md"), *folder.glob("examples/**/*.md"))):
        for found in LINK.finditer(path.read_text(encoding="utf-8")):
            yield path, found[1]


def fault(link: str) -> str | None:
    """Say what is wrong with a link; None if the page is there."""
    request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0 (links of a documentation)"})  # noqa: S310 - LINK has the scheme
    try:
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            return None
    except urllib.error.HTTPError as refused:
        refused.close()
        return f"status {refused.code}" if refused.code in GONE else None
    except OSError as broken:
        return str(broken)


def main(folder: Path) -> int:
    """Print each dead link with its page."""
    pages: dict[str, list[Path]] = {}
    for path, link in links(folder):
        pages.setdefault(link, []).append(path)
    dead = [(link, why) for link in pages if (why := fault(link)) is not None]
    for link, why in dead:
        print(f"{', '.join(str(path.relative_to(folder)) for path in pages[link])}: {link}: {why}")
    print(f"{len(pages)} links, {len(dead)} dead")
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
