"""The short form of `make torture`: foreign files, some hundred mutated ones, every injected fault but trainings."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def torture():
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    try:
        from torture import faults, foreign, hostile
    finally:
        sys.path.pop(0)
    return hostile, faults, foreign


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what libraries say of damaged files
def test_hostile_files_end_in_a_sentence_and_fill_no_memory(torture, tmp_path):
    for table in torture[0].tables(tmp_path, models=120, images=150, others=80, folders=4):
        assert not table.wrong, table


@pytest.mark.slow
def test_a_fault_of_the_disk_leaves_what_existed_intact_and_ends_in_a_true_sentence(torture, tmp_path):
    table = torture[1].table(tmp_path, trainings=False)
    assert not table.wrong, table
    assert table.counts["intact, and works again"] >= 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what libraries say of sample files
def test_files_of_other_programs_are_read_right_or_told(torture, tmp_path):
    for table in torture[2].tables(tmp_path, count=6):
        assert not table.wrong, table
        assert table.counts.total() >= 6
