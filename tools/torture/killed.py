"""Kill a study at random moments, let it go on each time, and print how often and what rows came of it."""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import scipy.ndimage  # noqa: F401 - what a study imports late; one process forks all attempts
import torch._dynamo  # noqa: F401

from napari_unet_finetune.checked_json import json_text
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.events import drain
from napari_unet_finetune.learning_curve.plan import read_plan
from napari_unet_finetune.learning_curve.run import run_study

_LONGEST_S = 1.5


def _attempt(plan: Path, out: Path, lives_s: float | None) -> bool:
    """Carry out the study in a process that lives so long, and tell whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        drain(run_study(read_plan(plan), out))
        os._exit(0)
    if lives_s is not None:
        time.sleep(lives_s)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def main(plan: Path, out: Path, kills: int) -> None:
    """Kill so often, over as many studies as that takes, and print the rows of each as JSON."""
    chance, done, found = random.Random(0), 0, []
    while done < kills or not found:
        shutil.rmtree(out, ignore_errors=True)
        while not _attempt(plan, out, chance.uniform(0, _LONGEST_S) if done < kills else None):
            done += 1
        rows = drain(run_study(read_plan(plan), out))  # nothing is left to do
        found.append(json.loads(json_text(rows, list[Row])))
    print(json.dumps({"kills": done, "rows": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
