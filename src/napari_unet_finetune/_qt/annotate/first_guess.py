"""Start from a prediction: what the current model finds becomes paint that the user corrects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...data.painted import PREDICTED
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
    predict_current(annotation, lambda name, found: use_prediction(annotation, name, found))


def predict_current(annotation: Annotation, then: Callable[[str, NDArray[np.uint16]], object]) -> None:
    """Have the current model predict the current image in a job, and call `then` with its name and 1 for objects.

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

    def on_predicted(_number: int, probabilities: NDArray[np.uint8], threshold: float) -> None:
        if session.is_open(project):
            then(name, above(probabilities, threshold).astype(np.uint16))

    ahead = [image.ref for image in annotation.waiting[:1]]  # while this one is corrected
    job = predict_frames(session, f"Predicting {name}", [project.image(name).ref], ahead=ahead)
    job.predicted.connect(on_predicted)
    session.tell(f"The model is looking at {name} …", holds=lambda: session.jobs.is_running)
    session.jobs.start(job)


def use_prediction(annotation: Annotation, name: str, labels: NDArray[np.uint16]) -> None:
    """Paint `labels` where the image `name` is not painted yet; what is painted stays, and one undo takes it back."""
    session, layer = annotation.session, annotation.layer
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
        session.tell(nothing, "warning", holds=lambda: is_current("none"))
        return
    where = " where nothing was painted" if is_painted(layer) else ""
    added = add_paint(layer, over_background(labels) if session.project.sparse else labels)
    if not added.any():
        session.tell(f"All that the model finds in {name} is painted already.", holds=lambda: session.current == name)
        return
    annotation.begin_guess(added)
    session.tell(
        f"Added the prediction{where} ({np.count_nonzero(added):,} pixels). It is used once you correct it, or accept "
        "it with the key A; Ctrl+Z undoes it.",
        holds=lambda: is_current(PREDICTED),
    )


def _is_current(session: Session, project: Project, name: str, origin: Origin) -> bool:
    """Tell whether the image called `name` is still shown, with a mask of this origin."""
    return session.project is project and session.current == name and project.image(name).origin == origin
