"""The dock "Compare models": models on images, side by side and in figures, and the learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compare.curve_controller import CurveController
from .compare.curve_panel import CurvePanel
from .compare.panel import ComparePanel
from .session.dock import Dock
from .session.run_footer import RunFooter
from .widgets.accordion import Accordion

if TYPE_CHECKING:
    import napari.viewer


class CompareWidget(Dock):
    """Compare models on the images of the dataset, and see how many images are enough."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        session = self.session
        curve = session.shared(CurveController)
        self.compare = ComparePanel(session, curve)
        self.curve = CurvePanel(session, curve, self.compare.comparing)
        self.footer = RunFooter(session, has_curve=False)
        self.accordion = Accordion()
        self.accordion.add("Models × images", self.compare)
        self.accordion.add("Learning curve", self.curve)
        self.accordion.open(0)
        self.fill(self.accordion, self.footer)
        self.keep(self.compare, self.curve, self.footer)

    def on_opened(self, *, is_open: bool) -> None:
        """Take the comparison out of the viewer while the dock is not open."""
        if is_open:
            self.compare.shown.bring_back()
        else:
            self.compare.shown.put_away()
