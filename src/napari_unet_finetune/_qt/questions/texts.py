"""What the docks say of each question, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...project.question_plan import Question


@dataclass(frozen=True)
class QuestionText:
    """A question as the docks show it.

    Parameters
    ----------
    title
        On its button.
    doing
        What is done while it is answered.
    asks
        The model it is asked of: the base of the next finetuning, the one that predicts, or none that is chosen.
    tip
        What it is good for.
    """

    title: str
    doing: str
    asks: Literal["base", "predictor", "none"]
    tip: str


TEXTS: dict[Question, QuestionText] = {
    "suggest": QuestionText(
        "What should I annotate next?",
        "Choosing images",
        "predictor",
        "Choose the 5 images that are likely to teach the model most, and mark them in the table.",
    ),
    "check": QuestionText(
        "Check my data",
        "Checking the data",
        "base",
        "Look for wrong masks, copies and gaps, and for how far your images are from those the base knows.",
    ),
    "can_learn": QuestionText(
        "Can it learn at all?",
        "Learning two images by heart",
        "base",
        "If the network cannot learn even two images by heart, something is wrong with masks or images.",
    ),
    "estimate": QuestionText(
        "Does it over- or underestimate?",
        "Comparing areas",
        "predictor",
        "Compare predicted and annotated areas, and show what is falsely predicted and what is missed.",
    ),
    "cross_validate": QuestionText(
        "How good is it really?",
        "Scoring unseen images",
        "base",
        "Score each annotated image with a model that was finetuned without it.",
    ),
    "forecast": QuestionText(
        "Are more images worth it?",
        "Extending the learning curve",
        "none",
        "Extend the learning curve: how much more annotated images are likely to add.",
    ),
    "report": QuestionText(
        "Write a report…",
        "Writing the report",
        "none",
        "Write one web page with data, settings, scores, figures and a paragraph for the methods section.",
    ),
}
