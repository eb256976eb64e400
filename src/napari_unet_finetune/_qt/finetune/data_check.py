"""A look at the annotated images before a training, in the background: problems, advice, distance to the base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import Signal

from ...checks.checkup import Checkup, CheckupSource, check_images
from ...data.pairing import Pairing
from ...errors import FinetuneError
from ...io.disk import file_stamp
from ...models.card import FileCard
from ...project.training_plan import TrainingPlan
from ..session.worker import Work


class DataCheck:
    """What is known of the data; the same data are not looked at twice."""

    changed = Signal()

    def __init__(self) -> None:
        self.sentences: tuple[str, ...] = ()
        self.is_looking = False
        self._key: Any = None
        self._work: Work[Checkup] | None = None

    def look(self, plan: TrainingPlan, card: FileCard | None) -> None:
        """Look at the images of a plan, if that was not done already; `changed` is emitted when it is done."""
        key = (tuple((pair, file_stamp(pair.mask.path)) for pair in plan.pairs), card and (card.path, card.channels))
        if key == self._key:
            return
        self.forget()
        self._key = key
        if not plan.used:
            self.changed.emit()
            return
        source, facts = CheckupSource(Pairing(plan.pairs)), card.facts if card else None
        self.is_looking = True
        self._work = Work(
            lambda: check_images(source, model=facts),
            title="Looking at the annotated images",
            on_end=self._only_for(key, self._on_end),
            on_error=self._only_for(key, self._on_error),
        )

    def forget(self) -> None:
        """Give up what is being looked at, and forget what was found."""
        if self._work is not None and self._work.is_running:
            self._work.abandon()
        self._key, self._work = None, None
        self.sentences, self.is_looking = (), False

    def _only_for(self, key: Any, then: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return `then` for as long as it is about the data that are asked for."""

        def call(value: Any) -> None:
            if key == self._key:
                self.is_looking = False
                then(value)
                self.changed.emit()

        return call

    def _on_end(self, checkup: Checkup) -> None:
        self.sentences = checkup.sentences

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, FinetuneError):
            raise error
        self.sentences = (str(error),)
