"""A network is run over every tile once and its probabilities are blended without seams."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_unet_finetune.errors import DeviceError
from napari_unet_finetune.events import TileEnd, drain
from napari_unet_finetune.inference.tiles import blend_tiles


def identity(tiles: Tensor) -> Tensor:
    """Answer with the first channel as probability."""
    return torch.logit(tiles[:, :1])


def with_memory_for(count: int, seen: list[int]) -> Callable[[Tensor], Tensor]:
    def network(tiles: Tensor) -> Tensor:
        seen.append(len(tiles))
        if len(tiles) > count:
            raise torch.OutOfMemoryError("out of memory")
        return identity(tiles)

    return network


def blend(network: Callable[[Tensor], Tensor], image: Tensor, batch_size: int = 4, overlap: float = 0.5) -> Tensor:
    return drain(blend_tiles(network, image, tile=16, overlap=overlap, batch_size=batch_size))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 16), (16, 16), (17, 16), (50, 33)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("mirrored", [False, True])
def test_blending_the_image_itself_gives_the_image(shape: tuple[int, int], overlap: float, mirrored: bool) -> None:
    image = torch.rand(2, *shape) * 0.98 + 0.01
    blended = drain(blend_tiles(identity, image, tile=16, overlap=overlap, batch_size=4, mirrored=mirrored))
    assert blended.shape == shape
    assert blended.dtype == torch.float32
    torch.testing.assert_close(blended, image[0], atol=1e-5, rtol=0)


def test_probabilities_are_blended_and_not_decisions() -> None:
    answers = iter([torch.full((1, 1, 16, 16), -2.0), torch.full((1, 1, 16, 16), 3.0)])
    blended = blend(lambda _: next(answers), torch.zeros(1, 16, 24), batch_size=1)
    row = blended[0]
    torch.testing.assert_close(row[[0, 23]], torch.sigmoid(torch.tensor([-2.0, 3.0])))
    assert (row.diff() >= -1e-6).all()
    torch.testing.assert_close(row[8:16].mean(), torch.sigmoid(torch.tensor([-2.0, 3.0])).mean())


def test_a_network_that_knows_its_corner_is_asked_about_all_four() -> None:
    def corner(tiles: Tensor) -> Tensor:
        logits = torch.full_like(tiles[:, :1], -30.0)
        logits[..., 0, 0] = 30.0
        return logits

    blended = drain(blend_tiles(corner, torch.rand(1, 16, 16), tile=16, overlap=0.5, batch_size=3, mirrored=True))
    expected = torch.zeros(16, 16)
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] = 0.25
    torch.testing.assert_close(blended, expected, atol=1e-5, rtol=0)


def test_progress_is_told_after_every_batch_and_ends_at_the_total() -> None:
    ends = list(blend_tiles(identity, torch.rand(1, 40, 40), tile=16, overlap=0.5, batch_size=4))
    assert ends == [TileEnd(4, 16), TileEnd(8, 16), TileEnd(12, 16), TileEnd(16, 16)]


def test_batches_are_as_even_as_can_be() -> None:
    seen: list[int] = []
    blend(with_memory_for(100, seen), torch.rand(1, 32, 40), batch_size=8)
    assert seen == [6, 6]


def test_gradients_are_off_in_the_network_and_on_between_batches() -> None:
    def network(tiles: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return identity(tiles)

    for _ in blend_tiles(network, torch.rand(1, 40, 40), tile=16, overlap=0.5, batch_size=4):
        assert torch.is_grad_enabled()


def test_without_memory_fewer_tiles_are_taken_and_the_result_is_the_same(caplog: pytest.LogCaptureFixture) -> None:
    image, seen = torch.rand(1, 40, 40), list[int]()
    with caplog.at_level(logging.WARNING):
        blended = blend(with_memory_for(3, seen), image, batch_size=8)
    assert seen == [8, 4, *[2] * 8]
    torch.testing.assert_close(blended, blend(identity, image))
    assert "going on with 2 tiles" in caplog.text


def test_a_device_without_memory_for_one_tile_is_named() -> None:
    with pytest.raises(DeviceError, match=r"'cpu' has no memory left for one tile of 16 pixels"):
        blend(with_memory_for(0, []), torch.rand(1, 40, 40))


def test_other_faults_of_the_network_are_passed_on() -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        blend(broken, torch.rand(1, 40, 40))
