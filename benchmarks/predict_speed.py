"""Time the prediction of a large image against MONAI's sliding window and against one pass over the whole image.

All arms run the same network with the same weights, one after the other in every round, so that a busy machine
slows them alike; of each arm the fastest round counts, in CPU seconds of the process where it computes on the CPU.
MONAI gets the network as it is trained, which is what a user would hand it. With `--set overlap=0.25` of `predict`
there are less than half of the tiles. `--levers` adds arms that switch on one thing after the other, to tell what each
one gives.

    python benchmarks/predict_speed.py --size 2048 --width 16 --threads 2
    python benchmarks/predict_speed.py --model MODEL --images DIR --masks DIR    # also Dice of all
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from napari_unet_finetune.config import ModelConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.normalize import model_input
from napari_unet_finetune.device import autocast, pick_device, synchronize
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.inference.tiles import blend_tiles
from napari_unet_finetune.inference.views import knows_mirrored
from napari_unet_finetune.io.images import list_images, read_image
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.attention_unet import AttentionUNet, fold_standardization
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model

OVERLAP, FAST_OVERLAP = 0.5, 0.25
MONAI = "MONAI"
Arm = Callable[[Tensor], Tensor]


def main() -> None:
    """Parse, time, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    model = load_model(options.model) if options.model else untrained(options.width)
    arms = build_arms(model, options)
    image = torch.rand(model.card.shape.in_channels, options.size, options.size)
    show_times(time_arms(arms, image, options.rounds, pick_device(options.device)), options, model)
    if options.images:
        compare_dice(model, arms, options)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="side of the square image in pixels")
    parser.add_argument("--width", type=int, default=16, help="width of the network, if no model is given")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=PredictConfig().batch_size, help="tiles per pass, in every arm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--levers", action="store_true", help="also time every lever for itself")
    parser.add_argument("--model", help="a trained model instead of an untrained network")
    parser.add_argument("--images", type=Path, help="folder of images to compare Dice on")
    parser.add_argument("--masks", type=Path, help="folder of masks of the same names")
    options = parser.parse_args()
    if bool(options.images) != bool(options.masks):
        parser.error("--images and --masks go together")
    return options


def untrained(width: int) -> Model:
    """Return a network with random weights."""
    torch.manual_seed(0)
    network = AttentionUNet(ModelConfig(width=width))
    return Model(network.state_dict(), ModelCard(shape=network.config))


def build_arms(model: Model, options: argparse.Namespace) -> dict[str, Arm]:
    """Return what is compared: name to a function from the normalized image (C, Y, X) to probabilities (Y, X)."""
    predictor = Predictor(model, PredictConfig(overlap=OVERLAP, batch_size=options.batch, device=options.device))
    exact = Predictor(model, PredictConfig(precision="fp32", device=options.device))
    device, tile = predictor.device, model.card.patch_size
    trained = model.build_network().to(device)

    mirrored = knows_mirrored(model)

    def ours(network: Arm, overlap: float = OVERLAP, *, mirrored: bool = False) -> Arm:
        return lambda image: drain(
            blend_tiles(network, image, tile=tile, overlap=overlap, batch_size=options.batch, mirrored=mirrored)
        )

    def monai(network: Arm) -> Arm:
        def run(image: Tensor) -> Tensor:
            probabilities = sliding_window_inference(
                image[None],
                (tile, tile),
                options.batch,
                lambda tiles: torch.sigmoid(network(tiles).float()),
                overlap=OVERLAP,
                mode="gaussian",
            )
            assert isinstance(probabilities, Tensor)
            return probabilities[0, 0]

        return run

    def bf16(network: nn.Module) -> Arm:
        def run(tiles: Tensor) -> Tensor:
            with autocast(device, "bf16"):
                logits: Tensor = network(tiles)
            return logits

        return run

    arms = {
        f"ours ({predictor.precision})": ours(predictor.logits, mirrored=mirrored),
        f"ours, overlap {FAST_OVERLAP:.0%} ({predictor.precision})": ours(
            predictor.logits, FAST_OVERLAP, mirrored=mirrored
        ),
        MONAI: monai(trained),
        f"whole image in one pass ({predictor.precision})": whole(predictor.logits, model),
    }
    if predictor.precision == "bf16":  # fifty times slower where the processor does not know it
        arms["MONAI, bf16 autocast"] = monai(bf16(trained))
    if options.levers:
        folded = fold_standardization(trained)
        arms |= {
            "our tiling and blending alone": ours(trained),
            "+ folded standardization": ours(folded),
            "+ channels last": ours(exact.logits),
            "+ bf16 without channels last": ours(bf16(folded)),
        }
    return {name: on_device(arm, device) for name, arm in arms.items()}


def whole(network: Arm, model: Model) -> Arm:
    """Return the pass that sees every pixel once: the floor in time, but other GroupNorm statistics."""

    def run(image: Tensor) -> Tensor:
        multiple = model.card.shape.side_multiple
        height, width = image.shape[-2:]
        padding = (0, -width % multiple, 0, -height % multiple)
        padded = nn.functional.pad(image[None], padding, mode="reflect")
        return torch.sigmoid(network(padded).float())[0, 0, :height, :width]

    return run


def on_device(arm: Arm, device: torch.device) -> Arm:
    """Return `arm` with the image taken to `device`, without gradients, waiting for its end."""

    def run(image: Tensor) -> Tensor:
        with torch.no_grad():
            result = arm(image.to(device))
        synchronize(device)
        return result.cpu()

    return run


def time_arms(arms: dict[str, Arm], image: Tensor, rounds: int, device: torch.device) -> dict[str, float]:
    """Return the shortest time in seconds of every arm over `rounds` interleaved rounds, after a warm-up."""
    for arm in arms.values():
        arm(image[:, :256, :256])
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds = dict.fromkeys(arms, np.inf)
    for _ in range(rounds):
        for name, arm in arms.items():
            start = clock()
            arm(image)
            seconds[name] = min(seconds[name], clock() - start)
    return seconds


def show_times(seconds: dict[str, float], options: argparse.Namespace, model: Model) -> None:
    """Print one row per arm, with its time and how many times faster than MONAI it is."""
    monai = seconds[MONAI]
    print(
        f"{options.size} x {options.size} pixels, width {model.card.shape.width}, tiles of {model.card.patch_size}, "
        f"overlap {OVERLAP:.0%}, {options.batch} tiles per pass, {options.threads} threads, "
        f"best of {options.rounds} rounds"
    )
    print(f"\n{'arm':<46}{'seconds':>9}{'MONAI takes':>19}")
    for name, time_s in seconds.items():
        print(f"{name:<46}{time_s:>9.2f}{monai / time_s:>18.2f}x")


def compare_dice(model: Model, arms: dict[str, Arm], options: argparse.Namespace) -> None:
    """Print the mean Dice of every arm over a folder of images."""
    images = list(load_pairs(options.images, options.masks))
    print(f"\n{'arm':<46}{'Dice of ' + str(len(images)) + ' images':>20}")
    for name, arm in arms.items():
        print(f"{name:<46}{np.mean([score(arm, model, image) for image in images]):>20.4f}")


def load_pairs(images: Path, masks: Path) -> Sequence[AnnotatedImage]:
    """Return images with the masks of the same names."""
    labels = {ref.name: ref for ref in list_images(masks)}
    return [
        AnnotatedImage(ref.name, read_image(ref).array, labels=read_image(labels[ref.name], as_labels=True).array)
        for ref in list_images(images)
    ]


def score(arm: Arm, model: Model, image: AnnotatedImage) -> float:
    """Return the Dice of one arm on one image."""
    pixels = model_input(
        image,
        in_channels=model.card.shape.in_channels,
        channels=model.card.channels,
        normalization=model.card.normalization,
    )
    return dice(arm(torch.from_numpy(pixels)).numpy() > model.card.threshold, image.target)


if __name__ == "__main__":
    main()
