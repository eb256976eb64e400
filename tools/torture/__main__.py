"""Print tables of files, injected faults and wear, each when it is filled; exit code 1 if a case ended wrong."""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a folder, as `python tools/torture`

from torture import faults, foreign, hostile, wear
from torture.outcomes import Table


def main() -> int:
    """Return 0 if all cases ended as they should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--foreign", type=int, default=200, help="files of other programs, of each kind")
    parser.add_argument("--models", type=int, default=10_000, help="mutated model files")
    parser.add_argument("--images", type=int, default=3_000, help="mutated image files")
    parser.add_argument("--others", type=int, default=1_000, help="requests, events, rows and records, each")
    parser.add_argument("--folders", type=int, default=100, help="damaged runs and studies, each way to take them up")
    parser.add_argument("--repeats", type=int, default=50, help="trainings in one process; ten times the predictions")
    parser.add_argument("--kills", type=int, default=60, help="kills of a study, which goes on each time")
    parser.add_argument("--large", type=int, default=0, help="images of 2048 x 2048 px; none unless asked")
    parser.add_argument("--seed", type=int, default=0, help="other damages than those of seed 0")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    is_wrong = False
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        for table in _tables(Path(folder), options):
            print(table, flush=True)
            is_wrong |= bool(table.wrong)
    return int(is_wrong)


def _tables(folder: Path, options: argparse.Namespace) -> Iterator[Table]:
    yield from foreign.tables(folder / "foreign", count=options.foreign)
    yield from hostile.tables(
        folder,
        models=options.models,
        images=options.images,
        others=options.others,
        folders=options.folders,
        seed=options.seed,
    )
    yield faults.table(folder / "faults")
    yield wear.table(folder / "wear", repeats=options.repeats, kills=options.kills, large=options.large)


if __name__ == "__main__":
    sys.exit(main())
