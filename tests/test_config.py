"""Settings are declared once, complete, closed and frozen."""

import json
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from napari_unet_finetune.config import (
    PRESETS,
    AugmentConfig,
    ChannelRule,
    FinetuneConfig,
    ModelConfig,
    Normalization,
    PredictConfig,
    PresetName,
    explain,
    fields_of,
)

CONFIGS = [ModelConfig, Normalization, ChannelRule, AugmentConfig, FinetuneConfig, PredictConfig]
FIELDS = [(config, name) for config in CONFIGS for name in config.model_fields]


@pytest.mark.parametrize(("config", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_setting_has_a_title_and_a_description(config, name):
    field = config.model_fields[name]
    assert field.title
    assert field.description.endswith(".")
    assert not field.is_required()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_setting_that_does_not_exist_is_refused(config):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        config(learning_rte=1)


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_cannot_be_changed_afterwards(config):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config(), next(iter(config.model_fields)), 1)


def test_there_is_a_preset_for_every_name():
    assert set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_survives_json(preset):
    config = FinetuneConfig(preset=preset)
    assert config.preset == preset
    assert all(getattr(config, name) == value for name, value in PRESETS[preset].items())
    again = FinetuneConfig.model_validate_json(config.model_dump_json())
    assert again == config


def test_settings_that_were_written_down_before_a_change_of_patches_existed_have_none_of_it():
    written = json.loads(FinetuneConfig().model_dump_json())
    del written["augment"]["p_objects"]
    assert FinetuneConfig(**written).augment.p_objects == 0
    assert FinetuneConfig(augment={"p_gamma": 0.1}).augment.p_objects == FinetuneConfig().augment.p_objects > 0
    assert all(value == 0 for name, value in AugmentConfig.none() if name.startswith("p_"))


def test_the_seed_recipe_is_the_study():
    recipe = FinetuneConfig(preset="seed recipe")
    study = {
        "optimizer": "adam", "learning_rate": 1e-5, "schedule": "constant", "weight_decay": 0, "epochs": 100,
        "batch_size": 4, "patch_size": 128, "patch_stride": 64, "loss": "dynamic", "layers": "all",
        "validation": "patches", "validation_share": 0.2, "weight_average": 0, "replay_share": 0, "gradient_clip": 0,
        "warmup_steps": 0, "calibrate": False, "keep_raw": False,
    }  # fmt: skip
    assert {name: getattr(recipe, name) for name in study} == study
    augment = recipe.augment.model_dump()
    assert not augment["flips"]
    assert not any(value for name, value in augment.items() if name.startswith("p_"))
    assert recipe.threshold == pytest.approx(0.6225, abs=1e-4)
    assert recipe.normalization == Normalization(method="none")


def test_changes_win_over_the_preset():
    config = FinetuneConfig(preset="seed recipe", learning_rate=0.5, seed=3)
    assert (config.learning_rate, config.seed, config.loss) == (0.5, 3, "dynamic")


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValidationError, match="seed recipe"):
        FinetuneConfig(preset="sed recipe")


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (ModelConfig, {"width": 17}),
        (ModelConfig, {"width": 8}),
        (ModelConfig, {"levels": 1}),
        (Normalization, {"low": 50, "high": 50}),
        (FinetuneConfig, {"patch_size": 100}),
        (FinetuneConfig, {"steps": 0}),
        (FinetuneConfig, {"device": "tpu"}),
        (FinetuneConfig, {"l2sp": float("inf")}),
        (FinetuneConfig, {"learning_rate": float("nan")}),
        (FinetuneConfig, {"augment": {"p_gamma": 1.5}}),
        (PredictConfig, {"threshold": 1.0}),
    ],
)
def test_values_out_of_bounds_are_refused(config, values):
    with pytest.raises(ValidationError):
        config(**values)


def test_no_augmentation_means_none():
    values = AugmentConfig.none().model_dump()
    assert not values["flips"]
    assert {value for name, value in values.items() if name.startswith("p_")} == {0}


@pytest.mark.parametrize(("levels", "multiple"), [(2, 2), (4, 8), (6, 32)])
def test_sides_are_multiples_of_what_pooling_halves(levels, multiple):
    assert ModelConfig(levels=levels).side_multiple == multiple


@pytest.mark.parametrize("config", CONFIGS)
def test_defaults_are_strict_json(config):
    instance: BaseModel = config()
    assert json.loads(instance.model_dump_json()) == instance.model_dump(mode="json")


@pytest.mark.parametrize(
    ("make", "values", "said"),
    [
        (ModelConfig, {"width": 17}, "Setting 'width' should be a multiple of 16, but it is 17."),
        (
            FinetuneConfig,
            {"augment": {"p_blur": 2}},
            "Setting 'augment.p_blur' should be less than or equal to 1, but it is 2.",
        ),
    ],
)
def test_a_value_of_any_settings_is_explained(make, values, said):
    with pytest.raises(ValidationError) as caught:
        make(**values)
    assert explain(caught.value) == said


def test_what_does_not_go_together_is_said_with_the_titles_that_users_see():
    titles = {name: field.title for name, field in fields_of(FinetuneConfig).items()}
    with pytest.raises(ValidationError) as caught:
        FinetuneConfig(patch_size=33)
    assert explain(caught.value, titles) == "Patch size (px) should be a multiple of 8, but it is 33."
    with pytest.raises(ValidationError) as caught:
        FinetuneConfig(epochs=3)
    sentence = explain(caught.value, titles)
    assert sentence.startswith("Epochs") and "'Replay'" in sentence and "replay_share" not in sentence


def test_settings_of_groups_are_found_by_dotted_names():
    fields = fields_of(FinetuneConfig)
    assert fields["augment.p_blur"] is AugmentConfig.model_fields["p_blur"]
    assert fields["normalization.low"] is Normalization.model_fields["low"]
    assert set(FinetuneConfig.model_fields) < set(fields)


def test_the_grid_of_the_study_is_of_annotated_images_alone():
    with pytest.raises(ValidationError, match="annotated images; set unannotated_share to 0"):
        FinetuneConfig(preset="seed recipe", unannotated_share=1.0)
