"""Time whole training steps against bare forward and backward passes on patches that are already there.

A whole step draws and augments its patches, runs the network forward and backward, clips, updates and averages the
weights. The bare pass is the same network, loss, precision and batch with nothing around it. Both take turns step by
step, so that a busy machine slows them alike; of each the median counts.

    python benchmarks/train_speed.py --width 16 --threads 1
    python benchmarks/train_speed.py --width 16 --threads 2 --modes    # fp32 and bf16, both memory layouts
    python benchmarks/train_speed.py --width 16 --threads 1 --validation    # the time that held-out images take
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from napari_unet_finetune.config import FinetuneConfig, ModelConfig
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.device import autocast, synchronize
from napari_unet_finetune.training.finetune import random_model
from napari_unet_finetune.training.patches.sampler import Batch
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.trainer import Trainer

WARM_UP_STEPS = 5
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def main() -> None:
    """Parse, time, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    if options.validation:
        show_validation(options)
        return
    trainer = build_trainer(options)
    if options.modes:
        show_modes(trainer, options)
        return
    whole, bare = time_arms(trainer, options)
    patches = options.batch
    print(f"{torch.__version__}, {trainer.device.type}, {trainer.precision}, {options.threads} thread(s)")
    print(f"width {options.width}, {options.batch} patches a step, median of {options.steps * options.rounds} steps")
    print(f"whole step              {patches / whole:8.2f} patches/s")
    print(f"bare forward, backward  {patches / bare:8.2f} patches/s")
    print(f"whole over bare         {bare / whole:8.3f}")


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=FinetuneConfig().batch_size)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=8, help="steps per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modes", action="store_true", help="time the bare pass in every precision and layout")
    parser.add_argument("--validation", action="store_true", help="time validations of images of 512 x 512 px")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    return parser.parse_args()


def build_trainer(options: argparse.Namespace) -> Trainer:
    """Return a trainer on the sample data with the default preset's augmentation, replay included."""
    config = FinetuneConfig(batch_size=options.batch, device=options.device)
    images = make_microtube(2, count=10)
    setup = prepare(
        random_model(ModelConfig(width=options.width), config),
        images,
        config,
        base_images=make_microtube(1, count=10),
    )
    return Trainer(
        setup.base.build_network(), setup.source, setup.config, device=setup.device, precision=setup.precision
    )


def time_arms(trainer: Trainer, options: argparse.Namespace) -> tuple[float, float]:
    """Return the median seconds of a whole step and of a bare pass, one after the other."""
    batch = trainer.source.batch(0)
    whole_s, bare_s = [], []
    for step in range(WARM_UP_STEPS + options.steps * options.rounds):
        whole_s.append(_seconds(trainer.step, range(step, step + 1), trainer.device))
        bare_s.append(_seconds(lambda _: forward_backward(trainer, batch), range(1), trainer.device))
    return median(whole_s[WARM_UP_STEPS:]), median(bare_s[WARM_UP_STEPS:])


def show_modes(trainer: Trainer, options: argparse.Namespace) -> None:
    """Print the time of a bare pass in fp32 and bf16, in both memory layouts, taking turns."""
    batch = trainer.source.batch(0)
    modes = [(precision, layout) for precision in ("fp32", "bf16") for layout in LAYOUTS]
    times: dict[tuple[str, str], list[float]] = {mode: [] for mode in modes}
    for _ in range(options.rounds + 1):
        for precision, layout in modes:
            trainer.precision = precision
            trainer.network.to(memory_format=LAYOUTS[layout])
            times[precision, layout].append(
                _seconds(lambda _: forward_backward(trainer, batch), range(options.steps), trainer.device)
            )
    for (precision, layout), seconds in times.items():
        print(
            f"{precision}  {layout:14} {1000 * min(seconds[1:]) / options.steps:8.1f} ms per batch of {options.batch}"
        )


def show_validation(options: argparse.Namespace) -> None:
    """Print the share of a default training that its validations take, for few and many images of 512 x 512 px."""
    config = FinetuneConfig(batch_size=options.batch, device=options.device, appearance="as they are")
    base = random_model(ModelConfig(width=options.width), config)
    for count in (5, 20, 50):
        setup = prepare(base, make_microtube(2, count=count, shape=(512, 512)), config)
        trainer = Trainer(
            setup.base.build_network(), setup.source, setup.config, device=setup.device, precision=setup.precision
        )
        step_s, score_s = [], []
        for step in range(options.steps):
            step_s.append(_seconds(trainer.step, range(step, step + 1), trainer.device))
            if step % 4 == 0 and setup.validator is not None:
                network, score = trainer.averaged_network(), setup.validator.score
                score_s.append(_seconds(lambda _, of=network, score=score: score(of), range(1), trainer.device))
        between, once = config.validate_every * median(step_s), median(score_s)
        window, held_out = setup.config.validation_crop_px, len(setup.held_out)
        print(f"{count:3} images, {held_out:2} held out, windows of {window} px: {once / (once + between):6.1%}")


def forward_backward(trainer: Trainer, batch: Batch) -> None:
    """Run the network on `batch` and back, and nothing else."""
    with autocast(trainer.device, trainer.precision):
        logits = trainer.network(batch.images)
    trainer.loss(logits.float(), batch.target, batch.annotated).backward()
    trainer.optimizer.zero_grad(set_to_none=True)


def _seconds(run: Callable[[int], object], steps: range, device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    for step in steps:
        run(step)
    synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
