"""The SegLite dock: a tab for each thing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from ..store.checkpoints import CheckpointStore
from .batch_panel import BatchPanel
from .evaluate_panel import EvaluatePanel
from .fine_tune_panel import FineTunePanel
from .measure_panel import MeasurePanel
from .segment_panel import SegmentPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


class SegliteDock(QWidget):
    """What the plugin's dock shows.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Handed over by napari, which knows it by this parameter's name.
    store : CheckpointStore, optional
        Shared by the panels.
    """

    def __init__(self, napari_viewer: ViewerModel, store: CheckpointStore | None = None) -> None:
        super().__init__()
        store = store or CheckpointStore()
        self.viewer = napari_viewer
        self.segment_panel = SegmentPanel(napari_viewer, store)
        self.fine_tune_panel = FineTunePanel(napari_viewer, store)
        self.evaluate_panel = EvaluatePanel(napari_viewer)
        self.measure_panel = MeasurePanel()
        self.batch_panel = BatchPanel(store, self.segment_panel.form.settings)
        self.tabs = QTabWidget()
        for panel, title in (
            (self.segment_panel, "Segment"),
            (self.fine_tune_panel, "Fine-tune"),
            (self.evaluate_panel, "Evaluate"),
            (self.measure_panel, "Measure"),
            (self.batch_panel, "Batch"),
        ):
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setFrameShape(QScrollArea.Shape.NoFrame)
            area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            area.setWidget(panel)
            self.tabs.addTab(area, title)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.tabs)
        self.setMinimumWidth(320)

        self.segment_panel.segmented.connect(self._on_segmented)
        self.fine_tune_panel.trained.connect(self._on_trained)
        self._connect_layers()

    def sizeHint(self) -> QSize:
        """Wide enough for every row, high enough to need no scrolling."""
        return QSize(350, 560)

    def _connect_layers(self) -> None:
        events = self.viewer.layers.events
        for name in ("inserted", "removed", "reordered", "renamed"):
            if hasattr(events, name):
                getattr(events, name).connect(self.reset_choices)

    def showEvent(self, event: Any) -> None:
        """Read the layers once the dock is inside a viewer, where they can be found."""
        super().showEvent(event)
        self.reset_choices()

    def reset_choices(self, event: Any = None) -> None:
        """Read the lists of layers again."""
        self.segment_panel.reset_choices()
        self.fine_tune_panel.reset_choices()
        self.evaluate_panel.reset_choices()
        self.measure_panel.reset_choices()

    def _on_segmented(self, image: Image, labels: Labels) -> None:
        checkpoint = self.segment_panel.form.checkpoint_box.checkpoint
        self.fine_tune_panel.take(image, labels, checkpoint)
        self.measure_panel.take(image, labels)

    def _on_trained(self, checkpoint: str) -> None:
        self.segment_panel.form.checkpoint_box.refresh(checkpoint)
