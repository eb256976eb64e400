"""Convert all masks of a dataset to strokes, or strokes to masks, in the background."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..data.project import Project, SavedMask
from ..errors import FinetuneError
from .session import Session
from .worker import Work


def convert_in_background(
    session: Session, project: Project, *, sparse: bool, on_end: Callable[[], object]
) -> Work[list[SavedMask]]:
    """Convert the masks of `project` and call `on_end`, however it ends; nothing may be painted until then."""

    def convert() -> Generator[int, None, list[SavedMask]]:
        saved = []
        for mask in project.converted(sparse=sparse):
            saved.append(mask)
            yield len(saved)
        return saved

    def on_converted(saved: list[SavedMask]) -> None:
        try:
            project.switch(saved, sparse=sparse)
        except FinetuneError as error:
            session.fail(error)
        finally:
            on_end()

    def on_error(error: Exception) -> None:
        on_end()
        session.fail(error)

    total = len(project.pairs())
    return Work(
        convert,
        title="Converting masks",
        on_event=lambda count: session.tell(f"{count} of {total} masks are converted.") if total else None,
        on_end=on_converted,
        on_error=on_error,
        on_abort=on_end,
    )
