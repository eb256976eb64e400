"""Start from a prediction: what the current model finds becomes paint that the user corrects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.painted import PREDICTED
from ...events import how_seen
from ...project.masks import over_background
from ...project.project import Origin, Project
from ..session.predict_frames import above, predict_frames
from ..session.session import Session
from .annotation import Annotation
from .paint import add_paint, is_painted


def start_from_prediction(annotation: Annotation) -> None:
    """Have the current model predict the current image in a job, and add what it finds to what is painted.

    Raises
    ------
    RunError
        If another such job is under way.
    """
    predict_current(annotation, lambda found: use_prediction(annotation, found))


class Found(NamedTuple):
    """What a model finds in the image called `name`: `labels` (Y, X), 1 for objects.

    `seen` is a sentence on how the model saw it, empty if there is nothing to say.
    """

    name: str
    labels: NDArray[np.uint16]
    seen: str = ""

    def told(self, text: str) -> str:
        """Return `text` and how the model saw the image."""
        return " ".join(filter(None, (text, self.seen)))


def predict_current(annotation: Annotation, then: Callable[[Found], object]) -> None:
    """Have the current model predict the current image in a job, and call `then` with what it finds.

    Raises
    ------
    RunError
        If another such job is under way.
    """
    session = annotation.session
    project, name = session.project, session.current
    if project is None or name is None:
        return
    session.jobs.require_free()

    def on_predicted(_number: int, probabilities: NDArray[np.uint8], threshold: float, shown: str) -> None:
        if session.is_open(project):
            seen = " ".join(how_seen([(name, shown)], "image"))
            then(Found(name, above(probabilities, threshold).astype(np.uint16), seen))

    ahead = [image.ref for image in annotation.waiting[:1]]  # while this one is corrected
    job = predict_frames(session, f"Predicting {name}", [project.image(name).ref], ahead=ahead)
    job.predicted.connect(on_predicted)
    session.tell(f"The model is looking at {name} …", holds=lambda: session.jobs.is_running)
    session.jobs.start(job)


def use_prediction(annotation: Annotation, found: Found) -> None:
    """Paint what is `found` where nothing is painted yet; what is painted stays, and one undo takes it back."""
    session, layer = annotation.session, annotation.layer
    name, labels = found.name, found.labels
    if session.project is None or session.current != name or layer is None:
        session.tell(
            f"{name} was closed before its prediction arrived. Open it and start from the prediction again.",
            holds=lambda: session.current != name or annotation.layer is None,
        )
        return
    if labels.shape != layer.data.shape:
        session.tell(f"The prediction of {name} does not fit its mask layer. Open the image again.", "warning")
        return
    is_current = partial(_is_current, session, session.project, name)
    if not labels.any():
        nothing = f"The model finds nothing in {name}. Paint its objects by hand."
        session.tell(found.told(nothing), "warning", holds=lambda: is_current("none"))
        return
    where = " where nothing was painted" if is_painted(layer) else ""
    added = add_paint(layer, over_background(labels) if session.project.sparse else labels)
    if not added.any():
        told = found.told(f"All that the model finds in {name} is painted already.")
        session.tell(told, holds=lambda: session.current == name)
        return
    annotation.begin_guess(added)
    told = found.told(
        f"Added the prediction{where} ({np.count_nonzero(added):,} pixels). It is used once you correct it, or accept "
        "it with the key A; Ctrl+Z undoes it."
    )
    session.tell(told, holds=lambda: is_current(PREDICTED))


def _is_current(session: Session, project: Project, name: str, origin: Origin) -> bool:
    """Tell whether the image called `name` is still shown, with a mask of this origin."""
    return session.project is project and session.current == name and project.image(name).origin == origin
