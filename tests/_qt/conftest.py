"""What all tests of the docks share: a viewer without a window, and jobs that are carried out in this process."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from napari_unet_finetune._qt.session.jobs import Job, report
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.io.regions.region import InView
from napari_unet_finetune.runs.serve import Control


class HereJob:
    """A job that has ended already; what is said to it is remembered."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def stop(self) -> None:
        self.said.append("stop")

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def preview(self, image: ImageRef | None) -> None:
        self.said.append(image)

    def look(self, view: InView) -> None:
        self.said.append(view)

    def close(self) -> None:
        self.said.append("close")


def run_here(job: Job, control: Control | None = None) -> HereJob:
    """Carry out `job` before returning."""
    from napari_unet_finetune.jobs.table import events_of

    reports = report(events_of(job.folder, control or Control()))
    while True:
        try:
            job.on_report(next(reports))
        except StopIteration as end:
            job.on_end(end.value)
            return HereJob()
        except Exception as error:  # the job decides, as it does for a child
            job.on_error(error)
            return HereJob()


class WaitingRunner:
    """Starts nothing: a test reports what happens through `listener`."""

    def __init__(self) -> None:
        self.job = HereJob()
        self.folder: Path | None = None
        self.listener: Job

    def __call__(self, job: Job) -> HereJob:
        self.folder, self.listener = job.folder, job
        return self.job


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the plugin remembers out of the user's settings."""
    if find_spec("napari") is not None:
        from napari_unet_finetune._qt.session import settings

        monkeypatch.setattr(settings, "_settings_folder", lambda: tmp_path / "settings")


@pytest.fixture
def viewer() -> Iterator[Any]:
    """Return a viewer without a window."""
    pytest.importorskip("napari")
    pytest.importorskip("qtpy")
    from napari.components import ViewerModel

    model = ViewerModel()
    yield model
    model.layers.clear()


@pytest.fixture
def session(viewer: Any) -> Any:
    """Return a session whose jobs are carried out in this process."""
    from napari_unet_finetune._qt.session.session import Session

    return Session(viewer, run_here)


@pytest.fixture
def waiting(viewer: Any) -> Any:
    """Return a session whose jobs only happen as the test reports them, and their runner."""
    from napari_unet_finetune._qt.session.session import Session

    runner = WaitingRunner()
    return Session(viewer, runner), runner
