"""Print the tables of hostile files and of injected faults; exit code 1 if one case ended otherwise than it should."""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a folder, as `python tools/torture`

from torture import faults, hostile
from torture.outcomes import Table


def main() -> int:
    """Return 0 if all cases ended as they should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000, help="mutated model files")
    parser.add_argument("--images", type=int, default=3_000, help="mutated image files")
    parser.add_argument("--others", type=int, default=1_000, help="requests, events, rows and records, each")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        tables: list[Table] = [
            *hostile.tables(Path(folder), models=options.models, images=options.images, others=options.others),
            faults.table(Path(folder, "faults")),
        ]
    for table in tables:
        print(table)
    return int(any(table.wrong for table in tables))


if __name__ == "__main__":
    sys.exit(main())
