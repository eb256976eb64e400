"""The card of a model as a few rows: what it was trained on, how it looks at images, how good it was, whose it is."""

from __future__ import annotations

import html
from collections.abc import Iterator

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...models.card import FileCard
from ...text import count_of, elided
from ..widgets.fold import Fold
from ..widgets.wrapped_label import WrappedLabel


class ModelCardView(QWidget):
    """Shows a card, or why there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label, self.details = WrappedLabel(), WrappedLabel()
        for label in (self.label, self.details):
            label.setTextFormat(Qt.TextFormat.RichText)
        self.fold = Fold("Details", self.details)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.fold)

    def show_card(self, card: FileCard) -> None:
        """Show what is known of a model."""
        for label, rows in ((self.label, card_rows(card)), (self.details, card_details(card))):
            label.setText(f"<table cellspacing='2'>{''.join(_row(*row) for row in rows)}</table>")
            label.setToolTip(html.escape(str(card.path)))
        self.fold.setVisible(True)

    def show_problem(self, sentence: str) -> None:
        """Say why there is no card."""
        self.label.setText(html.escape(sentence))
        self.label.setToolTip("")
        self.fold.setVisible(False)


def _row(label: str, text: str) -> str:
    name = f"<td style='padding-right: 8px'><b>{html.escape(label)}</b></td>"
    return f"<tr>{name}<td>{html.escape(elided(text))}</td></tr>"


def card_rows(card: FileCard) -> Iterator[tuple[str, str]]:
    """Yield what everybody wants to know of a model, label by label; what is not known is left out."""
    about = card.provenance
    yield "Model", card.name
    if card.target:
        yield "About", card.target
    if card.only_predicts:
        yield "For", "predictions and comparisons: a network of another program, which cannot be finetuned"
    if card.is_finetuned:
        yield "Parent", about.parent or "a model without a name"
    if about.images:
        yield "Trained on", card.images_in_words
    if card.view.in_channels == 1 and card.channels.title:
        yield "Channel", card.channels.title
    if any(one.changes for one in card.knows):
        yield "Dark and bright", _intensities(card)
    if scores := card.scores_in_words:
        yield "Dice", ", ".join(scores)
    if about.license_in_words:
        yield "License", about.license_in_words


def card_details(card: FileCard) -> Iterator[tuple[str, str]]:
    """Yield what is needed to say exactly which model it is and how it works, label by label."""
    about = card.provenance
    yield "Sees", f"{_network(card)}; {card.normalization.in_words}"
    if card.view.in_channels == 1 and not card.channels.title and _knows_channels(card):
        yield "Colors", f"seen as {card.channels.in_words}"
    yield "Threshold", f"{card.threshold:.2g}"
    if about.citation_in_words:
        yield "To cite", about.citation_in_words
    made = f", made {about.created[:10]}" if about.created else ""
    yield "File", f"{card.path.name}, {size(card.size_bytes)}{made}"
    if notes := about.notes[1 if card.target else 0 :]:
        yield "Notes", " ".join(notes)


def size(count: int) -> str:
    """Return a number of bytes in plain units."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _intensities(card: FileCard) -> str:
    ways = dict.fromkeys(one.in_words(card.shape.in_channels) for one in card.knows)
    kept = "" if card.older is None else "; those seen otherwise than the newest ones keep the weights that they had"
    return f"images are seen {', or '.join(ways)}, like those training images that they resemble most{kept}"


def _knows_channels(card: FileCard) -> bool:
    return card.only_predicts or not card.is_foreign


def _network(card: FileCard) -> str:
    channels = f"{count_of(card.shape.in_channels, 'channel')} in " if _knows_channels(card) else ""
    shape = "" if card.is_foreign else f" (width {card.shape.width}, {card.shape.levels} levels)"
    return f"{channels}patches of {card.patch_size} px{shape}"
