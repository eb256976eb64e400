"""Colors that mean something, the same in the viewer, in figures and in reports."""

from __future__ import annotations

# Okabe and Ito's colors, told apart with every kind of color blindness (https://jfly.uni-koeln.de/color).
ORANGE, SKY_BLUE, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, GRAY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

# What a prediction got right and wrong: apart in hue and in lightness, on gray images too.
CORRECT, FALSE_POSITIVE, MISSED = SKY_BLUE, VERMILION, YELLOW
ERRORS = {
    CORRECT: "correct",
    FALSE_POSITIVE: "false positive (predicted, but no object)",
    MISSED: "missed (object, but not predicted)",
}

# What is painted and what is predicted lie over each other.
PAINTED, PREDICTED = ORANGE, SKY_BLUE
BACKGROUND_STROKE = GREEN

# Models side by side; black is left out, for screens are dark.
MODELS = (SKY_BLUE, VERMILION, YELLOW, BLUE, GREEN, ORANGE, PURPLE, GRAY)
DATASETS = {1: VERMILION, 2: BLUE}
TRAINING_LOSS, VALIDATION_DICE = SKY_BLUE, ORANGE

INFO, WARNING, FAULT = BLUE, ORANGE, VERMILION
LINK = "#3A8FC7"  # can be read on napari's dark and on its light ground
