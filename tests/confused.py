"""Models that take the images of each of their two datasets for those of the other."""

from dataclasses import replace

import pytest

from napari_unet_finetune.models.model import Model
from napari_unet_finetune.training import prepare


def confused(model: Model) -> Model:
    """Return the model as if each of two datasets had the intensities of the other."""
    old, new = model.card.knows
    swapped = [one.model_copy(update={"quantiles": other.quantiles}) for one, other in ((old, new), (new, old))]
    return model.with_card(knows=tuple(swapped))


def confuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every training learn of its two datasets that each has the intensities of the other."""
    as_it_is = prepare._with_new

    def with_new(*told):
        models = as_it_is(*told)
        return replace(models, base=confused(models.base))

    monkeypatch.setattr(prepare, "_with_new", with_new)
