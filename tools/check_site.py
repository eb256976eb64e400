"""Check the built site: every link and picture in it leads somewhere, and no page loads anything from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = ("img", "link", "script", "source")


class Page(HTMLParser):
    """The links of a page, each with its tag, and the places in it that a link can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to and what it is called."""
        values = dict(attrs)
        self.anchors.update(value for key in ("id", "name") if (value := values.get(key)))
        self.links += [(tag, value) for key in ("href", "src") if (value := values.get(key))]


def main(site: Path) -> int:
    """Return 0 if all is as it should be; print what is not."""
    pages = {path: Page(path) for path in site.resolve().rglob("*.html") if path.name != "404.html"}
    wrong = [complaint for path in pages for complaint in _complaints(path, pages)]
    print("\n".join(wrong) or f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links.")
    return 1 if wrong or len(pages) < 10 else 0


def _complaints(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for tag, link in pages[path].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if tag in LOADED and "canonical" not in link:
                yield f"{path.name} loads {link}"
            continue
        goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        goal = goal / "index.html" if goal.is_dir() else goal
        if not goal.is_file():
            yield f"{path.name} links to {link}, which is not there"
        elif parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].anchors:
            yield f"{path.name} links to {link}, but there is no such place"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
