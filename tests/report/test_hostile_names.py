"""A report about images, models and folders whose names are out for harm: all of them are text, and nothing is run."""

import csv
import html
import os
import sys
from html.parser import HTMLParser

import pytest

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.report.write import report

from .conftest import start, tiny

# No slash, which no file name can hold.
NAMES = (
    "<img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "'--><svg onload=alert(1)>", "&lt;b&gt; &#60;i&#62;",
    "=cmd|' C'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "a;=1+1", "new\n=line", "\\input{x} $^_%~ \\end{document}",
    "{{ page }} {% raw %}", "\u202egnp.exe", "\u200b\ufeff", "e\u0301 \U0001f9ec", "x" * 251, "<!-- ]]> <![CDATA[",
)  # fmt: skip
NOT_UTF8 = os.fsdecode(b"caf\xe9 <b>")
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


class Strict(HTMLParser):
    """Checks that elements are nested and closed, and gathers what could run or load something."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.comments = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        self.comments.append(data)


def checked(page):
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not {"script", "iframe", "object", "embed", "form", "base", "link"} & parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert not [value for _, value in parser.attributes if "javascript:" in (value or "")]
    assert not [comment for comment in parser.comments if "CDATA" in comment or "svg" in comment]


@pytest.mark.skipif(sys.platform == "win32", reason="no file may be called so")
def test_names_that_are_out_for_harm_are_text(tmp_path, write_squares, model):
    names = list(NAMES)
    try:
        (tmp_path / NOT_UTF8).touch()
        names.append(NOT_UTF8)
    except OSError:  # macOS takes UTF-8 only
        pass
    data = write_squares(tmp_path / "<b>data & $x$", len(names))
    for kind in ("images", "masks"):
        for file, name in zip(sorted((data / kind).iterdir()), names, strict=True):
            file.rename(data / kind / f"{name}.png")
    checkpoint = tmp_path / "=base <i>.safetensors"
    checkpoint.write_bytes(model.read_bytes())
    run = start(tmp_path / "@run <u>", data, task="finetune", checkpoint=str(checkpoint), config=tiny(keep_raw=False))
    tests = open_folder(data / "images", data / "masks")[:6]
    files = drain(report(run.path, tmp_path / "<page>.html", tests=tests, device="cpu"))
    page = files.page.read_text(encoding="utf-8")
    checked(page)
    told = " ".join(html.unescape(page).split())
    for name in names:
        assert " ".join(ImageRef(tmp_path / f"{name}.png").stem.split()) in told
    for path in files.tables:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1
        cells = [cell for row in rows for cell in row]
        assert not [cell for cell in cells if cell.startswith(FORMULAS) and not _is_number(cell)]


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
