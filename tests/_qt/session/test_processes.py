"""Which process carries out a job: one that stays for predictions, and makes room for a training."""

import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.session import jobs as module
from napari_unet_finetune._qt.session.jobs import Job, JobSlot, Processes
from napari_unet_finetune._qt.session.predict_frames import predict_frames
from napari_unet_finetune._qt.session.session import Session
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import JobEnded
from napari_unet_finetune.runs.request import CheckRequest, FinetuneRequest, PredictRequest, QuestionRequest

PREDICTION = PredictRequest(checkpoint="microtube", images=())


class FakeChild:
    """A process that ends its job at once and lives until it is told to end."""

    def __init__(self, folder, kind="own"):
        self.folder, self.kind, self.is_alive, self.pid = folder, kind, True, None

    def events(self):
        yield JobEnded()

    def close(self):
        self.is_alive = False


class FakeWarm:
    is_busy = False

    def __init__(self):
        self.said = []

    def begin(self, folder):
        self.said.append("begin")
        return FakeChild(folder, "warm")

    def let_go(self):
        self.said.append("let go")


@pytest.fixture
def processes(monkeypatch, qapp):  # noqa: ARG001 - threads report to an application
    monkeypatch.setattr(module, "WarmChild", FakeWarm)
    monkeypatch.setattr(module, "ChildJob", FakeChild)
    return Processes()


@pytest.fixture
def carry_out(processes, tmp_path, qtbot):
    """Carry out a request and return the process that did."""
    children, slot = [], JobSlot(lambda job: children.append(processes(job)) or children[-1], pytest.fail)

    def carry_out(request):
        (tmp_path / "job").mkdir(exist_ok=True)
        slot.start(Job(tmp_path / "job", "Working", request))
        qtbot.waitUntil(lambda: not slot.is_running)
        return children[-1]

    return carry_out


def test_a_question_has_a_process_of_its_own_and_a_prediction_one_that_stays(processes, carry_out):
    kinds = [carry_out(request).kind for request in (PREDICTION, CheckRequest(), PREDICTION)]
    assert kinds == ["warm", "own", "warm"]
    assert "let go" not in processes.warm.said


@pytest.mark.parametrize(
    "training",
    [
        FinetuneRequest(task="train", pairs=(), config=FinetuneConfig()),
        QuestionRequest(task="can_learn", checkpoint="microtube", pairs=()),
        None,  # goes on with what its folder holds
    ],
)
def test_memory_is_free_before_a_training_and_none_is_kept_beside_it(processes, carry_out, training):
    carry_out(PREDICTION)
    child = carry_out(training)
    assert processes.warm.said[-1] == "let go"
    assert carry_out(PREDICTION).kind == "own"
    child.close()
    assert carry_out(PREDICTION).kind == "warm"


def test_it_ends_when_nothing_was_predicted_for_a_while_but_not_at_work(processes, carry_out, qtbot, monkeypatch):
    monkeypatch.setattr(module, "IDLE_MS", 1)
    processes.warm.is_busy = True
    carry_out(PREDICTION)
    qtbot.wait(20)
    assert processes.warm.said == ["begin"]
    processes.warm.is_busy = False
    qtbot.waitUntil(lambda: processes.warm.said == ["begin", "let go"])


def test_it_ends_with_the_viewer(viewer, monkeypatch, qtbot):
    monkeypatch.setattr(module, "WarmChild", FakeWarm)
    session = Session(viewer)
    session.jobs.start(predict_frames(session, "Predicting", []))
    qtbot.waitUntil(lambda: not session.jobs.is_running)
    session.close()
    assert session._processes.warm.said == ["begin", "let go"]
