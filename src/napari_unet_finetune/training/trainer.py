"""One optimizer step after another on one network, with all that must survive an interruption."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import FinetuneConfig, PrecisionName
from ..device import autocast, free_memory
from ..errors import DeviceError, RunError, lacks_memory
from ..events import StepEnd
from ..models.attention_unet import AttentionUNet
from .losses import Loss, build_loss
from .optim import Fall, WeightAverage, build_optimizer, l2sp_penalty, learning_rate_at, set_learning_rate, start_phase
from .patches.batches import BatchSource
from .patches.sampler import Batch
from .patches.unannotated import UnannotatedPatches

logger = logging.getLogger(__name__)


class Trainer:
    """Trains `network` on the batches of `source`; everything random in step n follows from the seed and n."""

    def __init__(
        self,
        network: AttentionUNet,
        source: BatchSource,
        config: FinetuneConfig,
        *,
        device: torch.device,
        precision: PrecisionName,
        unannotated: UnannotatedPatches | None = None,
    ) -> None:
        self.device, self.precision = device, precision
        # channels_last pays on CUDA's tensor cores; measured on CPUs it slows this GroupNorm network.
        memory_format = torch.channels_last if device.type == "cuda" else torch.preserve_format
        self.network = network.to(device)
        self.network.to(memory_format=memory_format)  # type: ignore[call-overload]
        if config.dropout is not None:
            self.network.dropout.p = config.dropout
        self.source, self.config, self._unannotated = source, config, unannotated
        self.loss: Loss = build_loss(config.loss, config.false_positive_weight)
        self.optimizer = build_optimizer(self.network, config)
        self.average = WeightAverage(self.network, config.weight_average)
        self.micro_batch = config.batch_size
        self.notices: list[str] = []
        self._base = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        self._averaged = copy.deepcopy(self.network).eval()

    def step(self, index: int, fall: Fall | None = None) -> StepEnd:
        """Make optimizer step `index`, counted from 0; `fall` as in `learning_rate_at`.

        Raises
        ------
        RunError
            If the loss is not a number even in fp32.
        DeviceError
            If memory runs out with a single patch at a time.
        """
        start = time.perf_counter()
        learning_rate = learning_rate_at(index, self.source.steps, self.config, fall)
        set_learning_rate(self.optimizer, learning_rate)
        start_phase(self.network, self.config, index, self.source.steps)
        try:
            loss = self._backward_within_limits(self._batch(index), index)
            self.optimizer.step()
            self.average.update(self.network)
        except (MemoryError, RuntimeError) as error:
            if lacks_memory(error):
                raise self._no_memory() from error
            raise
        return StepEnd(index + 1, loss, learning_rate, time.perf_counter() - start)

    def _batch(self, index: int) -> Batch:
        """Return the batch of a step, patches of images without masks last."""
        batch = self.source.batch(index)
        if self._unannotated is None or not self._unannotated.count(index):
            return batch
        return batch.join(self._unannotated.batch(index, self._teach))

    @torch.no_grad()
    def _teach(self, patches: Tensor) -> Tensor:
        """Return the probabilities (B, 1, P, P) that the averaged weights see in `patches` (B, C, P, P)."""
        network = self.averaged_network()
        while True:
            try:
                with autocast(self.device, self.precision):
                    seen = [network(part) for part in torch.split(patches, self.micro_batch)]
                return torch.sigmoid(torch.cat(seen).float())
            except (MemoryError, RuntimeError) as error:
                if not lacks_memory(error):
                    raise
                self._halve_micro_batch(error)

    def averaged_network(self) -> AttentionUNet:
        """Return the network with the averaged weights; valid until the next step."""
        self._averaged.load_state_dict(self.average.weights)
        network: AttentionUNet = self._averaged
        return network

    def _backward_within_limits(self, batch: Batch, index: int) -> float:
        """Fill the gradients and clip them; without memory go on with smaller parts, after a NaN in fp32."""
        while True:
            try:
                loss = self._backward(batch, index)
            except (MemoryError, RuntimeError) as error:
                if not lacks_memory(error):
                    raise
                self._halve_micro_batch(error)
                continue
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip or float("inf"))
            if np.isfinite(loss) and torch.isfinite(norm):
                return loss
            if self.precision == "fp32":
                raise RunError(
                    f"The loss is not a number at step {index + 1}. Choose a lower learning rate than "
                    f"{self.config.learning_rate:g}, or look for extreme pixel values in the images."
                )
            self._note(f"The loss is not a number at step {index + 1} in bf16: going on in fp32.")
            self.precision = "fp32"

    def _halve_micro_batch(self, error: MemoryError | RuntimeError) -> None:
        if self.micro_batch == 1:
            raise self._no_memory() from error
        self.micro_batch = -(-self.micro_batch // 2)
        free_memory(self.device)
        self._note(
            f"Memory of {self.device.type} ran out: going on with {self.micro_batch} patches at a time, "
            f"{self.config.batch_size} per step."
        )

    def _no_memory(self) -> DeviceError:
        return DeviceError(
            f"Memory of {self.device.type} ran out with a single patch. Choose a smaller patch or the device 'cpu'."
        )

    def take_notices(self) -> list[str]:
        """Return what the user should know of the steps since the last call."""
        notices, self.notices = self.notices, []
        return notices

    def _note(self, message: str) -> None:
        logger.warning(message)
        self.notices.append(message)

    def _backward(self, batch: Batch, index: int) -> float:
        """Accumulate the gradients of `batch` over micro-batches and return its loss."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        count, total = len(batch.images), 0.0
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.default_rng((self.config.seed, 5, index)).integers(2**62)))
            for part in batch.split(self.micro_batch):
                loss = self._loss(part) * (len(part.images) / count)
                loss.backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach())
        return total

    def _loss(self, batch: Batch) -> Tensor:
        with autocast(self.device, self.precision):
            logits = self.network(batch.images)
        loss = self.loss(logits.float(), batch.target, batch.annotated)
        if self.config.l2sp:
            loss = loss + l2sp_penalty(self.network, self._base, self.config.l2sp)
        return loss

    def state(self) -> dict[str, Any]:
        """Return copies of all that a step changes."""
        return {
            "weights": _copies(self.network.state_dict()),
            "average": _copies(self.average.weights),
            "average_updates": self.average.updates,
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "micro_batch": self.micro_batch,
            "precision": self.precision,
            "device": self.device.type,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.network.load_state_dict(state["weights"])
        self.average.weights = {name: value.to(self.device).clone() for name, value in state["average"].items()}
        self.average.updates = state["average_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        _lay_out_like_weights(self.optimizer)
        self.micro_batch = state["micro_batch"]
        if state["device"] == self.device.type:
            self.precision = state["precision"]


def _lay_out_like_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give what an optimizer remembers the memory layout of its weights, which another device may lay out otherwise.

    Fused steps walk through memory, not through indices: without this they pair numbers that do not belong together.
    """
    for weight, remembered in optimizer.state.items():
        for name, value in remembered.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                remembered[name] = torch.empty_like(weight).copy_(value)


def _copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}
