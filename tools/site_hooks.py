"""Pages of the site that do not lie in docs/: those at the top of the repository, and notebooks as they were run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "build" / "notebooks"  # pages with the pictures that `make site` has let them draw
# Pages outside of docs/, and what they are called on the site; README.md would be taken for its first page.
TOP = {
    "README.md": "about.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(\]\()((?![a-z]+:|#)[^)\s#]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside of docs/."""
    for name, place in TOP.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    for path in sorted(NOTEBOOKS.glob("*.md")) + sorted(NOTEBOOKS.glob("*_files/*")):
        place = (Path("notebooks") / path.relative_to(NOTEBOOKS)).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Turn links out of docs/ into links to pages of the site, and to the repository where there is none."""
    place = Path(page.file.src_uri)
    if len(place.parts) > 1:  # a notebook, whose links are those of the site
        return markdown
    folder = ROOT if place.as_posix() in TOP.values() else Path(config["docs_dir"])
    return _LINK.sub(lambda link: link[1] + _target((folder / link[2]).resolve(), config), markdown)


def _target(path: Path, config: Any) -> str:
    """Return where a page at the top of the site finds the file at `path`."""
    docs = Path(config["docs_dir"]).resolve()
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix().replace(".ipynb", ".md")
    name = path.relative_to(ROOT).as_posix()
    return TOP.get(name) or f"{config['repo_url']}/blob/main/{name}"
