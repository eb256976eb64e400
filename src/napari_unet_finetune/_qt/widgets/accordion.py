"""Sections of which one is open: a screen may be as low as 700 px."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QStyle, QVBoxLayout, QWidget

_CLOSED, _OPEN = "▶", "▼"
_MIN_HEIGHT_PX = 120
_SOON_MS = 50


class Accordion(QWidget):
    """Headings under each other; a click on one opens its section, which gets all the room there is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._titles: list[str] = []
        self._headings: list[QPushButton] = []
        self._bodies: list[_Body] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(4, 4, 4, 4)
        self._layout.setSpacing(4)
        self._wanted: tuple[int, QWidget] | None = None  # a part of a section, to be brought into sight
        self._soon = QTimer(self)  # once all is laid out anew
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._show_wanted)
        self._rest = QWidget()  # takes the room while nothing is open
        self._layout.addWidget(self._rest, stretch=1)

    def add(self, title: str, panel: QWidget) -> None:
        """Add a closed section."""
        index = len(self._bodies)
        heading = QPushButton(f"{_CLOSED}  {title}")
        heading.setCheckable(True)
        heading.setStyleSheet("text-align: left; padding: 5px 8px;")
        heading.clicked.connect(lambda checked: self.open(index if checked else None))
        body = _Body(panel)
        self._titles.append(title)
        self._headings.append(heading)
        self._bodies.append(body)
        for widget in (heading, body):
            self._layout.insertWidget(self._layout.count() - 1, widget)

    @property
    def opened(self) -> int | None:
        """Which section is open, counted from 0."""
        return next((index for index, heading in enumerate(self._headings) if heading.isChecked()), None)

    def show_top(self, index: int) -> None:
        """Scroll section `index` up to its beginning."""
        if bar := self._bodies[index].verticalScrollBar():
            bar.setValue(0)

    def show_part(self, index: int, part: QWidget) -> None:
        """Scroll section `index`, as soon as it has its new height, as far as it takes to see `part` of it."""
        self._wanted = (index, part)
        self._soon.start()

    def _show_wanted(self) -> None:
        if self._wanted is not None:
            (index, part), self._wanted = self._wanted, None
            self._bodies[index].ensureWidgetVisible(part, 0, 0)

    def open(self, index: int | None) -> None:
        """Open section `index` and close the others; None closes all."""
        for number, (heading, body) in enumerate(zip(self._headings, self._bodies, strict=True)):
            heading.setChecked(number == index)
            heading.setText(f"{_OPEN if number == index else _CLOSED}  {self._titles[number]}")
            body.setVisible(number == index)
            self._layout.setStretchFactor(body, int(number == index))
        self._rest.setVisible(index is None)


class _Body(QScrollArea):
    """A panel that scrolls up and down, and is never narrower than it can be read."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__()
        self._panel = panel
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setWidget(_pushed_up(panel))
        panel.installEventFilter(self)
        self.hide()

    def minimumSizeHint(self) -> QSize:
        """Return the width of the panel and of a scroll bar."""
        style = self.style()
        bar = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent) if style else 0
        return QSize(self._panel.minimumSizeHint().width() + bar, _MIN_HEIGHT_PX)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ask for another width when the panel needs one."""
        if watched is self._panel and event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def _pushed_up(panel: QWidget) -> QWidget:
    """Return `panel` over empty room, unless it wants all the room for itself."""
    layout = panel.layout()
    if layout is not None and layout.expandingDirections() & Qt.Orientation.Vertical:
        return panel
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(panel)
    column.addStretch(1)
    return holder
