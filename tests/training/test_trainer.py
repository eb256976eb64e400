"""What a step changes can be kept and brought back, also on a device that lays weights out otherwise."""

import io

import pytest
import torch

from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.trainer import Trainer

from .conftest import make_squares, tiny_config


@pytest.fixture
def new_trainer(untrained):
    setup = prepare(untrained, make_squares(4), tiny_config())

    def new(layout):
        trainer = Trainer(
            setup.base.build_network(), setup.source, setup.config, device=setup.device, precision=setup.precision
        )
        trainer.network.to(memory_format=layout)
        return trainer

    return new


@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("after", [torch.contiguous_format, torch.channels_last])
def test_a_training_goes_on_alike_whatever_the_layout_of_its_weights(new_trainer, before, after):
    begun = new_trainer(before)
    for index in range(3):
        begun.step(index)
    file = io.BytesIO()
    torch.save(begun.state(), file)
    file.seek(0)
    resumed = new_trainer(after)
    resumed.restore(torch.load(file, weights_only=True))
    for trainer in (begun, resumed):
        trainer.step(3)
    expected = begun.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)
