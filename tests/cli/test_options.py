"""Settings come from a preset, options and NAME=VALUE; whatever does not fit is one sentence."""

import pytest
import typer

from napari_unet_finetune.cli.options import describe, prediction_config, preset_name, training_config
from napari_unet_finetune.config import AugmentConfig, ChannelRule, FinetuneConfig, Normalization, PredictConfig
from napari_unet_finetune.errors import DataError


@pytest.mark.parametrize("name", ["seed recipe", "seed-recipe", "Seed_Recipe"])
def test_presets_are_found_however_their_words_are_joined(name):
    assert preset_name(name) == "seed recipe"


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(DataError, match=r"'best' does not exist.*default, plateau, fast, seed recipe, from scratch"):
        preset_name("best")


def test_options_change_the_preset_and_set_has_the_last_word():
    config = training_config("fast", ["seed=5", "layers=first"], steps=7, seed=3, device=None)
    assert config == FinetuneConfig(preset="fast", steps=7, seed=5, layers="first")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("augment.p_gamma=0.5", {"augment": AugmentConfig(p_gamma=0.5)}),
        ("augment.flips=false", {"augment": AugmentConfig(flips=False)}),
        ("channels.method=mean", {"channels": ChannelRule(method="mean")}),
        ("normalization.low = 2", {"normalization": Normalization(low=2)}),
        ('normalization={"method": "none"}', {"normalization": Normalization(method="none")}),
        ("threshold=null", {"threshold": None}),
        ("steps=1e3", {"steps": 1000}),
    ],
)
def test_set_reaches_every_setting(change, expected):
    assert training_config("default", [change]) == FinetuneConfig(**expected)


def test_several_changes_of_one_group_add_up():
    config = training_config("default", ["channels.method=channel", "channels.channel=2"])
    assert config.channels == ChannelRule(method="channel", channel=2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("learning_rte=1", "Setting 'learning_rte' does not exist"),
        ("augment.p_gama=1", r"Setting 'augment\.p_gama' does not exist"),
        ("steps.x=1", r"Setting 'steps\.x' does not exist"),
        ("=1", "Setting '' does not exist"),
        ("preset=fast", "Setting 'preset' does not exist"),
        ("version=2", "Setting 'version' does not exist"),
        ("steps", "has no value. Write it as NAME=VALUE"),
        ("steps=0", "Setting 'steps' should be greater than or equal to 1, but it is 0."),
        ("steps=many", "Setting 'steps' should be a valid integer.*'many'"),
        ("layers=top", "Setting 'layers' should be 'first', .* but it is 'top'."),
        ("patch_size=100", "Setting 'patch_size' should be a multiple of 8, but it is 100."),
        ("l2sp=Infinity", "Setting 'l2sp' should be a finite number"),
        ("augment=5", "Setting 'augment' should be"),
        ('normalization={"low": 50, "high": 2}', "low percentile 50.0 is not below high percentile 2.0"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        training_config("default", [change])
    assert "\n" not in str(caught.value)


def test_steps_for_a_recipe_of_epochs_are_refused_instead_of_ignored():
    with pytest.raises(DataError, match=r"counts epochs.*--set epochs=N"):
        training_config("seed recipe", None, steps=10)
    assert training_config("seed recipe", ["epochs=3"], steps=None).epochs == 3


def test_prediction_has_settings_of_its_own():
    assert prediction_config(["overlap=0.25"], threshold=0.3) == PredictConfig(overlap=0.25, threshold=0.3)
    with pytest.raises(DataError, match="'steps' does not exist"):
        prediction_config(["steps=3"])


@pytest.mark.parametrize("config", [FinetuneConfig, PredictConfig])
def test_every_setting_that_is_listed_can_be_set_to_its_default(config):
    change = training_config if config is FinetuneConfig else prediction_config
    start = ("default",) if config is FinetuneConfig else ()
    for name, default, description in describe(config):
        assert description
        value = {"True": "true", "False": "false", "": "null"}.get(default, default)
        assert change(*start, [f"{name}={value}"])


def test_every_command_has_a_help_text():
    from napari_unet_finetune.cli import app

    commands = typer.main.get_command(app).commands
    assert set(commands) >= {"train", "finetune", "predict", "evaluate", "curve", "resume", "check", "demo"}
    for command in commands.values():
        assert command.help
        assert all(parameter.help for parameter in command.params if parameter.name != "help"), command.name
