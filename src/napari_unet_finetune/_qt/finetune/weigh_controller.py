"""Old or new, from the click to the model that is kept: a job scores the mixes, another writes the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psygnal import Signal

from ...errors import FinetuneError, RunError
from ...jobs.answers import read_result
from ...questions.weigh import Weighing
from ...runs.folder import RunFolder
from ...runs.history import PastRun
from ...runs.request import WeighRequest
from ..session.jobs import Job
from ..session.known_models import name_of_model
from ..session.session import Session, tells_errors
from .controller import FinetuneController


class WeighController:
    """Weighs the base of the last training against its model.

    `changed` is emitted when there is another weighing, or none any more, and when a mix was kept.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.finetuning = session.shared(FinetuneController)
        self.weighing: Weighing | None = None
        self._run = self.finetuning.run
        self.finetuning.changed.connect(self._on_finetuning_changed)

    @tells_errors
    def ask(self) -> None:
        """Score the mixes of base and model, in the background; what keeps it from that is told."""
        run = self._free_run()
        self._start("Weighing old and new images", WeighRequest(run=run.path), self._show)

    @tells_errors
    def keep(self, share: float) -> None:
        """Write the model of `share` beside that of the training, and predict with it from now on."""
        run = self._free_run()
        there = PastRun(run).kept_mix(share)
        if there is not None:
            self._use(there)
            return
        out = run.new_mix(share)
        self._start("Writing the mix", WeighRequest(run=run.path, share=share, out=out), lambda _found: self._use(out))

    def _free_run(self) -> RunFolder:
        """Return the training that is weighed; raises `RunError` if there is none or the computer has other work."""
        session = self.session
        if self._run is None:
            raise RunError("There is no finetuning to weigh. Finetune first.")
        session.trainings.require_free()
        session.jobs.require_free()
        return RunFolder(self._run)

    def _start(self, doing: str, request: WeighRequest, then: Callable[[Weighing], None]) -> None:
        session, run = self.session, self._run

        def on_end(file: Path | None) -> None:
            if file is None:
                session.tell(f"{doing} was stopped.")
                return
            try:
                found = read_result(file, Weighing)
            except FinetuneError as error:
                session.fail(error)
                return
            if run == self._run:
                then(found)

        job = Job(session.scratch(), doing, request, is_temporary=True)
        job.ended.connect(on_end)
        session.tell(f"{doing} has started. You can keep annotating.")
        session.jobs.start(job)

    def _show(self, found: Weighing) -> None:
        self.weighing = found
        self.session.tell(found.summary or found.headline)
        self.changed.emit()

    def _use(self, mix: Path) -> None:
        session = self.session
        self.finetuning.use(mix)
        session.tell(
            f"'{name_of_model(session, mix)}' predicts from now on. The model of the training stays beside it."
        )
        self.changed.emit()

    def _on_finetuning_changed(self) -> None:
        """Forget the weighing of another training."""
        if self.finetuning.run != self._run:
            self._run, self.weighing = self.finetuning.run, None
            self.changed.emit()
