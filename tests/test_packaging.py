"""What an installed copy must offer: the manifest, the command, the public names."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import Distribution, entry_points, requires
from importlib.resources import files
from pathlib import Path

import pytest

import napari_unet_finetune as nuf

REPOSITORY = Path(__file__).parent.parent
DISTRIBUTION = "napari-unet-finetune"
INSTALLED = Distribution.from_name(DISTRIBUTION)
EDITABLE = "editable" in json.loads(INSTALLED.read_text("direct_url.json") or "{}").get("dir_info", {})


def test_packaged_manifest_is_the_one_at_the_top() -> None:
    packaged = files(nuf) / "napari.yaml"
    assert packaged.read_bytes() == (REPOSITORY / "napari.yaml").read_bytes()


def test_package_says_that_it_is_typed() -> None:
    assert (files(nuf) / "py.typed").is_file()


def test_terminal_command_leads_to_the_command_line() -> None:
    (command,) = entry_points(group="console_scripts", name="unet-finetune")
    assert callable(command.load())


def test_base_dependencies_hold_neither_napari_nor_qt() -> None:
    base = [line for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in base}
    assert "torch" in names
    assert not names & {"napari", "pyqt5", "pyqt6", "pyside6", "qtpy", "superqt", "magicgui"}


@pytest.mark.skipif(EDITABLE, reason="an editable copy has the page of the day on which it was installed")
def test_the_page_on_a_package_index_links_to_files_of_this_version() -> None:
    page, version = INSTALLED.metadata["Description"], INSTALLED.version
    repository = INSTALLED.metadata.get_all("Project-URL")[0].removeprefix("Repository, ")
    links, pictures = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", page), re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page)
    ours = [link for link in links if link.startswith(repository)]
    assert len(pictures) >= 3 and len(ours) > 5
    assert all(link.startswith("https://") for link in links + pictures)
    raw = repository.replace("//github.com", "//raw.githubusercontent.com")
    for link, home in [(link, f"{repository}/blob") for link in ours] + [(picture, raw) for picture in pictures]:
        path = link.removeprefix(f"{home}/v{version}/")
        assert path != link, f"{link} is not of version {version}"
        assert (REPOSITORY / path).is_file(), link


def test_versions_agree() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert nuf.__version__ == declared
    assert f"\nversion: {declared}\n" in (REPOSITORY / "CITATION.cff").read_text()
    assert f"## [{declared}]" in (REPOSITORY / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", nuf.__all__)
def test_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(nuf, name).__doc__
    assert name in dir(nuf)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fine_tune'"):
        nuf.fine_tune  # noqa: B018
