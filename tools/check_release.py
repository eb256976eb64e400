"""Build a release and check it as strangers meet it: its files, its page, installed beside napari, docks opened."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

REPOSITORY = Path(__file__).resolve().parent.parent
DIST = REPOSITORY / "dist"
HERE = Path(sys.executable).parent
SCHEMAS = {  # as check-jsonschema calls them, and the files that must follow each
    "vendor.citation-file-format": "CITATION.cff",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-workflows": ".github/workflows/*.yml",
}


def main() -> int:
    """Check a release; with a tag, also that its papers are of that version."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="tag of the release, such as v0.2.0")
    parser.add_argument("--quick", action="store_true", help="do not install it")
    given = parser.parse_args()
    sdist, wheel = build()
    problems = [*missing_files(sdist, wheel), *(wrong_papers(given.tag, wheel) if given.tag else [])]
    for problem in problems:
        print(problem)
    if problems:
        return 1
    run(HERE / "twine", "check", "--strict", sdist, wheel)
    for schema, pattern in SCHEMAS.items():
        run(HERE / "check-jsonschema", "--builtin-schema", schema, *sorted(REPOSITORY.glob(pattern)))
    render_recipe()
    if not given.quick:
        install_and_open(wheel)
    print(f"{wheel.name} and {sdist.name} are as they must be.")
    return 0


def run(*command: str | Path, **options: object) -> None:
    """Run a command; whatever fails there ends this, too."""
    subprocess.run([str(part) for part in command], check=True, cwd=options.pop("cwd", REPOSITORY), **options)


def build() -> tuple[Path, Path]:
    """Return sdist and wheel, the wheel built from the sdist as a package index would."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(HERE / "uv", "build", "--quiet", "--out-dir", DIST)
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def missing_files(sdist: Path, wheel: Path) -> Iterator[str]:
    """Yield what is not in the release though it is in the repository, and the other way round."""
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    source = {name.removeprefix("src/") for name in tracked.split("\n") if name.startswith("src/")}
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        packed_source = {name.partition("/")[2] for name in archive.getnames()}
    for name in sorted(source ^ packed):
        yield f"{wheel.name}: {name} is {'missing' if name in source else 'not in the repository'}."
    for name in ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "tests/conftest.py"):
        if name not in packed_source:
            yield f"{sdist.name}: {name} is missing."


def wrong_papers(tag: str, wheel: Path) -> Iterator[str]:
    """Yield what does not belong to the version of a tag."""
    version = tag.removeprefix("v")
    if wheel.name.split("-")[1] != version:
        yield f"{wheel.name} is not of version {version}: is the tag on this commit?"
    dated = _said("CHANGELOG.md", rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$")
    if dated is None:
        yield f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'."
    released = _said("CITATION.cff", r"^date-released: *['\"]?([\d-]+)")
    if released is None:
        yield "CITATION.cff does not say when it was released: date-released."
    elif dated is not None and released != dated:
        yield f"CITATION.cff was released on {released}, but CHANGELOG.md dates the section {dated}."
    for name in ("CITATION.cff", "recipe/recipe.yaml"):
        named = _said(name, r"^ *version: *['\"]?([^'\"\s]+)")
        if named != version:
            yield f"{name} is of version {named}, not {version}."


def _said(name: str, pattern: str) -> str | None:
    """Return what the first line of a file that matches `pattern` says in its group."""
    found = re.search(pattern, (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def render_recipe() -> None:
    """Render the recipe for conda; what is wrong with it is an error."""
    from rattler_build import Stage0Recipe

    for variant in Stage0Recipe.from_file(REPOSITORY / "recipe" / "recipe.yaml").render():
        package = variant.recipe.to_dict()
        print(f"recipe: {package['package']['name']} {package['package']['version']}, {package['build']['string']}")


def install_and_open(wheel: Path) -> None:
    """Install the wheel into an environment that has napari, as napari's plugin manager does, and open the docks."""
    display = ["xvfb-run", "--auto-servernum"] if sys.platform == "linux" and not os.environ.get("DISPLAY") else []
    with TemporaryDirectory() as folder:
        environment = Path(folder, "env")
        binaries = environment / ("Scripts" if os.name == "nt" else "bin")
        constrained = ("--quiet", "--constraint", REPOSITORY / "constraints.txt")
        run(sys.executable, "-m", "venv", environment)
        run(binaries / "python", "-m", "pip", "install", *constrained, "uv")
        run(REPOSITORY / "tools" / "install_torch.sh", environment)
        run(binaries / "uv", "pip", "install", "--python", binaries / "python", *constrained, "napari[pyqt6]")
        run(binaries / "python", "-m", "pip", "install", *constrained, wheel)
        run(binaries / "python", "-m", "pip", "check")
        plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QT_API")}
        run(*display, binaries / "python", "-I", REPOSITORY / "tools" / "open_docks.py", cwd=folder, env=plain)
        run(binaries / "unet-finetune", "models", cwd=folder, env=plain)


if __name__ == "__main__":
    sys.exit(main())
