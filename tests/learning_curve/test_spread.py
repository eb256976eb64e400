"""A study whose models are trained side by side has the weights and rows of a plain one."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import Notice, PartStarted, StepEnd, drain
from napari_unet_finetune.learning_curve.run import run_study

from ..engines import Untidy
from .test_run import base, datasets, follow, is_tested, plan  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def small(plan):  # noqa: F811
    return plan.model_copy(update={"counts": (0, 1, 2)})


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "out"
    return out, drain(run_study(small, out))


def assert_same_weights(out, plain):
    runs = sorted(path.relative_to(plain) for path in (plain / "runs").glob("*/model.safetensors"))
    assert runs == sorted(path.relative_to(out) for path in (out / "runs").glob("*/model.safetensors"))
    for run in runs:
        ours, theirs = load_file(out / run), load_file(plain / run)
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours), run


def test_models_in_any_order_are_those_of_a_plain_study(small, whole, tmp_path):
    events, rows = follow(run_study(small, tmp_path / "out", engine=Untidy(3)))
    assert rows == whole[1]
    assert_same_weights(tmp_path / "out", whole[0])
    assert not any(isinstance(event, StepEnd) for event in events)
    assert len([event for event in events if is_tested(event)]) == 5
    assert [event.index for event in events if isinstance(event, PartStarted)] == [1, 2, 3, 4, 5, 6]
    assert not list((tmp_path / "out").glob(".spread-*"))


@pytest.mark.parametrize("goes_on_plain", [False, True])
def test_a_study_whose_cluster_is_gone_goes_on(small, whole, tmp_path, goes_on_plain):
    out = tmp_path / "out"
    with pytest.raises(ConnectionError):
        drain(run_study(small, out, engine=Untidy(4, twice=0, fails_after=2)))
    made = len(list((out / "rows").glob("*.json")))
    assert 0 < made < 5
    engine = None if goes_on_plain else Untidy(5, twice=0)
    events, rows = follow(run_study(small, out, engine=engine))
    assert rows == whole[1]
    assert_same_weights(out, whole[0])
    assert engine is None or len(engine.names) == 5 - made == len([one for one in events if isinstance(one, Notice)])


def test_a_stopped_study_returns_what_is_finished(small, whole, tmp_path):
    engine = Untidy(6, twice=0)
    stop = lambda: len(engine.names) >= 3  # noqa: E731
    rows = drain(run_study(small, tmp_path / "out", engine=engine, should_stop=stop))
    finished = {(row.count, row.seed) for row in rows}
    assert len(finished) == len(engine.names) - ("base" in engine.names) < 5
    assert rows == [row for row in whole[1] if (row.count, row.seed) in finished]


def test_what_a_model_cannot_do_ends_the_study(small, tmp_path):
    out = tmp_path / "out"
    study = run_study(small, out, engine=Untidy())
    next(study)
    study.close()
    (out / "rows").mkdir()
    (out / "rows" / "raw.json").write_text(json.dumps([]))
    with pytest.raises(Exception, match="Remove the file to test the model again"):
        drain(run_study(small, out, engine=Untidy()))
    with pytest.raises(RunError, match="other settings"):
        drain(run_study(small.model_copy(update={"seeds": 3}), out, engine=Untidy()))
