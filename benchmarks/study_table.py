"""Print one Markdown table of several studies that `unet-finetune curve` has run, as docs/results.md shows them.

python benchmarks/study_table.py STUDY [STUDY ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_unet_finetune.evaluation.rows import Summary, summarize
from napari_unet_finetune.learning_curve.folder import StudyFolder, load_all_rows


def main() -> None:
    """Print a line per preset and count, raw models first."""
    print("| training | images | seeds | Dataset 2 Dice | IoU | surface Dice (2 px) | area | Dataset 1 Dice | drop |")
    print("|---|---|---|---|---|---|---|---|---|")
    lines = [line for folder in map(Path, sys.argv[1:]) for line in table_lines(folder)]
    for _, text in sorted(dict.fromkeys(lines)):
        print(text)


def table_lines(folder: Path) -> list[tuple[tuple[int, str, int], str]]:
    """Return sort key and table line of every model of a study."""
    plan, rows = StudyFolder(folder).plan, load_all_rows(folder)
    means = {(mean.dataset, mean.count): mean for mean in summarize(rows)}
    lines = []
    for count in sorted({row.count for row in rows}):
        preset = "raw model" if count == 0 else plan.config.preset
        text = f"| {preset} | {count or '–'} {_scores(means[2, count], means[1, count])}"
        lines.append(((count > 0, preset, count), text))
    return lines


def _scores(new: Summary, old: Summary) -> str:
    seeds = "–" if new.count == 0 else str(new.seeds)
    spread = f" ± {new.dice_std:.3f}" if new.seeds > 1 else ""
    area = "–" if new.area_ratio is None else f"{new.area_ratio:.2f}"
    drop = "–" if new.count == 0 or old.drop is None else f"{old.drop:+.3f}"
    surface = "–" if new.surface_dice is None else f"{new.surface_dice:.3f}"
    means = f"{new.dice:.3f}{spread} | {new.iou:.3f} | {surface} | {area}"
    return f"| {seeds} | {means} | {old.dice:.3f} | {drop} |"


if __name__ == "__main__":
    main()
