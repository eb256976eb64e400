"""What an installed copy must offer: the manifest, the command, the public names."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import Distribution, entry_points, requires, version
from importlib.resources import files
from pathlib import Path

import pytest

import napari_unet_finetune as nuf

REPOSITORY = Path(__file__).parent.parent
DISTRIBUTION = "napari-unet-finetune"
INSTALLED = Distribution.from_name(DISTRIBUTION)
EDITABLE = "editable" in json.loads(INSTALLED.read_text("direct_url.json") or "{}").get("dir_info", {})


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


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
    page, of_copy = INSTALLED.metadata["Description"], INSTALLED.version
    repository = INSTALLED.metadata.get_all("Project-URL")[0].removeprefix("Repository, ")
    links, pictures = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", page), re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page)
    ours = [link for link in links if link.startswith(repository)]
    assert len(pictures) >= 3 and len(ours) > 5
    assert all(link.startswith("https://") for link in links + pictures)
    raw = repository.replace("//github.com", "//raw.githubusercontent.com")
    for link, home in [(link, f"{repository}/blob") for link in ours] + [(picture, raw) for picture in pictures]:
        path = link.partition("#")[0].removeprefix(f"{home}/v{of_copy}/")
        assert not path.startswith("https:"), f"{link} is not of version {of_copy}"
        assert (REPOSITORY / path).is_file(), link


@pytest.mark.parametrize("name", ["pyproject.toml", "mkdocs.yml", "recipe/recipe.yaml"])
def test_the_address_of_the_repository_is_the_same_everywhere(name: str) -> None:
    own = tomllib.loads(text_of("pyproject.toml"))["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    named = re.findall(r"https://(?:raw\.githubusercontent|github)\.com/([\w.-]+/[\w.-]*unet-finetune)", text_of(name))
    assert set(named) == {own}


def test_the_newest_section_of_the_changelog_and_the_citation_are_of_one_version() -> None:
    """The version of the package itself is that of the newest tag: `make check-release` compares them."""
    newest = re.findall(r"^## \[([\d.]+)\] - (?:unreleased|\d{4}-\d\d-\d\d)$", text_of("CHANGELOG.md"), re.MULTILINE)[0]
    assert f"\nversion: {newest}\n" in text_of("CITATION.cff")
    assert nuf.__version__ == version(DISTRIBUTION)


@pytest.mark.parametrize("name", nuf.__all__)
def test_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(nuf, name).__doc__
    assert name in dir(nuf)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fine_tune'"):
        nuf.fine_tune  # noqa: B018


CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}


def test_the_recipe_for_conda_asks_for_what_the_package_asks_for() -> None:
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load(text_of("recipe/recipe.yaml"))
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = dict(re.fullmatch(r"([\w-]+)(\S+)", line).groups() for line in project["project"]["dependencies"])  # type: ignore[union-attr]
    python, *others = recipe["requirements"]["run"]
    assert dict(line.split() for line in others) == {CONDA_NAMES.get(name, name): at for name, at in wanted.items()}
    assert python == "python >=${{ python_min }}"
    assert f">={recipe['context']['python_min']}" == project["project"]["requires-python"]
    built_with = {line.split(">=")[0] for line in project["build-system"]["requires"]}
    assert built_with <= {line.split()[0] for line in recipe["requirements"]["host"]}
    commands = [f"{name} = {target}" for name, target in project["project"]["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == commands
    assert f"\nversion: {recipe['context']['version']}\n" in text_of("CITATION.cff")
    assert recipe["about"]["license"] == project["project"]["license"]


@pytest.mark.parametrize("step", ["uses", "run"])
def test_what_publishes_has_no_password_and_runs_nothing_but_the_publishing(step: str) -> None:
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load(text_of(".github/workflows/release.yml"))["jobs"]
    publishing = [job for job in jobs.values() if job.get("permissions", {}).get("id-token") == "write"]
    assert len(publishing) == 1
    assert "secrets." not in text_of(".github/workflows/release.yml")
    used = [one[step].partition("@")[0] for one in publishing[0]["steps"] if step in one]
    assert used == (["actions/download-artifact", "pypa/gh-action-pypi-publish"] if step == "uses" else [])
