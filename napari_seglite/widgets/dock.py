"""The SegLite dock: a tab per task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from ..checkpoints import CheckpointInfo, CheckpointStore
from .common import (
    Computer,
    CorrectionTracker,
    JobRunner,
    SourceFiles,
    allow_parallel_jobs,
    free_in_own_context,
    keys,
    preload_soon,
    warm_colours_soon,
)
from .correct import CorrectPanel
from .fine_tune import FineTunePanel
from .models import ModelsPanel
from .segment import SegmentPanel
from .tools import BatchPanel, ComparePanel, EvaluatePanel, MeasurePanel

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


# Milliseconds after which the dock that was opened has been drawn.
_DRAWN = 500


class SegliteDock(QWidget):
    """The plugin's dock: tabs to segment, correct, fine-tune, manage checkpoints, and tools.

    Parameters
    ----------
    napari_viewer : ViewerModel
        napari passes the viewer to a parameter of this name.
    store : CheckpointStore, optional
        Shared by the panels.
    """

    def __init__(self, napari_viewer: ViewerModel, store: CheckpointStore | None = None) -> None:
        super().__init__()
        self._was_shown = self._is_shut = False
        allow_parallel_jobs()
        free_in_own_context(napari_viewer)
        store = store or CheckpointStore()
        self.viewer = napari_viewer
        self.source_files = SourceFiles(napari_viewer, self)
        self.tracker = CorrectionTracker(napari_viewer, self)
        self.computer = Computer(self)
        self.segment_panel = SegmentPanel(napari_viewer, store, self.tracker, self.computer)
        self.correct_panel = CorrectPanel(
            napari_viewer, self.tracker, self.segment_panel.results.segmentation_of
        )
        device = self.segment_panel.device
        self.fine_tune_panel = FineTunePanel(
            napari_viewer, store, self.tracker, device, self.computer
        )
        self.evaluate_panel = EvaluatePanel(napari_viewer)
        self.measure_panel = MeasurePanel(napari_viewer)
        self.batch_panel = BatchPanel(napari_viewer, store, self.segment_panel.settings)
        self.models_panel = ModelsPanel(store)
        self.compare_panel = ComparePanel(napari_viewer, store, self.tracker, device)
        self.tabs, self.tools = QTabWidget(), QTabWidget()
        _add(self.tabs, self.segment_panel, "Segment")
        _add(self.tabs, self.correct_panel, "Correct")
        _add(self.tabs, self.fine_tune_panel, "Fine-tune")
        _add(self.tabs, self.models_panel, "Models")
        _add(self.tools, self.evaluate_panel, "Evaluate")
        _add(self.tools, self.measure_panel, "Measure")
        _add(self.tools, self.batch_panel, "Batch")
        _add(self.tools, self.compare_panel, "Compare")
        self.tabs.addTab(self.tools, "Tools")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.tabs)
        self.setMinimumWidth(320)

        # The other tabs show layers with chosen colours.
        self.tabs.currentChanged.connect(lambda _: warm_colours_soon())
        tracker = self.tracker
        self.segment_panel.segmented.connect(self._on_segmented)
        self.correct_panel.live_asked.connect(self.fine_tune_panel.learn_live)
        self.fine_tune_panel.trained.connect(self.segment_panel.select_checkpoint)
        self.correct_panel.back_asked.connect(self.fine_tune_panel.go_back)
        self.fine_tune_panel.learnt.connect(self._on_learnt)
        self.fine_tune_panel.again_asked.connect(self._on_again)
        self.models_panel.chosen.connect(self._on_chosen)
        self.compare_panel.chosen.connect(self._on_start_chosen)
        self.models_panel.changed.connect(self._on_models_changed)
        # napari may destroy the window without closing it; corrections must be on disk then.
        self.destroyed.connect(lambda: tracker.close_without_qt())
        self.source_files.found.connect(lambda _: self.reset_choices())
        self._connect_layers()
        acts = {
            keys.SEGMENT: self.segment_panel.segment,
            keys.FINE_TUNE: self.fine_tune_panel.fine_tune,
        }
        self.keys = keys.ViewerKeys(napari_viewer, acts)

    def show_panel(self, panel: QWidget) -> None:
        """Bring a panel to the front."""
        for tabs in (self.tabs, self.tools):
            for number in range(tabs.count()):
                area = tabs.widget(number)
                if isinstance(area, QScrollArea) and area.widget() is panel:
                    tabs.setCurrentIndex(number)
                    if tabs is self.tools:
                        self.tabs.setCurrentWidget(self.tools)

    def sizeHint(self) -> QSize:
        """Return a size wide enough for every row and high enough to need no scrolling."""
        return QSize(350, 560)

    def _connect_layers(self) -> None:
        for event in self._layer_events():
            event.connect(self.reset_choices)

    def _layer_events(self) -> list[Any]:
        events = self.viewer.layers.events
        names = ("inserted", "removed", "reordered", "renamed")
        return [getattr(events, name) for name in names if hasattr(events, name)]

    def shut(self) -> None:
        """Save everything, end all jobs and follow the viewer no more.

        napari takes a dock out of its window without deleting it, so that it would live on.
        """
        if self._is_shut:
            return
        self._is_shut = True
        for event in self._layer_events():
            event.disconnect(self.reset_choices)
        for runner in self.findChildren(JobRunner):
            if runner not in (self.segment_panel.runner, self.fine_tune_panel.runner):
                runner.abandon()
        self.source_files.shut()
        self.keys.release()
        self.segment_panel.shut()
        self.fine_tune_panel.shut()
        self.correct_panel.shut()
        self.computer.close()
        if problem := self.tracker.shut():
            show_error(problem)

    def event(self, event: QEvent | None) -> bool:
        """Shut the dock when it is taken out of its window."""
        if (
            event is not None
            and event.type() == QEvent.Type.ParentChange
            and self._was_shown
            and self.parent() is None
        ):
            self.shut()
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """Read the lists of layers once the dock is in a window, where they find the viewer."""
        super().showEvent(event)
        if self._is_shut:
            return
        if not self._was_shown:
            QTimer.singleShot(_DRAWN, self._preload)
        self._was_shown = True
        self.reset_choices()
        if (window := self.window()) is not None:
            window.installEventFilter(self)

    def _preload(self) -> None:
        if not self._is_shut:
            preload_soon(self.segment_panel.store, self.segment_panel.checkpoint)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep the window open while corrections cannot be saved, if the user wants that."""
        closing = event is not None and event.type() == QEvent.Type.Close
        if closing and watched is self.window() and not self.correct_panel.may_close():
            cast("QEvent", event).ignore()
            return True
        return bool(super().eventFilter(watched, event))

    def reset_choices(self, event: Any = None) -> None:
        """Read the lists of layers again."""
        for panel in (
            self.segment_panel,
            self.correct_panel,
            self.fine_tune_panel,
            self.evaluate_panel,
            self.measure_panel,
        ):
            panel.reset_choices()

    def _on_segmented(self, image: Image, labels: Labels) -> None:
        checkpoint = self.segment_panel.checkpoint
        self.correct_panel.offer(image, labels, checkpoint)
        self.fine_tune_panel.offer(image, labels, checkpoint)
        self.measure_panel.offer(image, labels)

    def _on_again(self, image: Image) -> None:
        """Segment an image with the checkpoint that was just trained."""
        self.segment_panel.form.image_rows.box.value = image
        self.show_panel(self.segment_panel)
        self.segment_panel.segment()

    def _on_learnt(self, info: CheckpointInfo) -> None:
        self.models_panel.refresh(info.id)
        self.compare_panel.refresh()
        held = info.settings.get("held_out", [])
        used = dict.fromkeys(info.settings.get("frames", []), "used")
        self.correct_panel.learning = {**used, **dict.fromkeys(held, "held out")}
        self.correct_panel.show_regions()

    def _on_chosen(self, checkpoint: str) -> None:
        """Select a checkpoint that was chosen in the Models tab."""
        self.segment_panel.select_checkpoint(checkpoint)
        self.fine_tune_panel.select_checkpoint(checkpoint)
        self.show_panel(self.segment_panel)

    def _on_start_chosen(self, start: str) -> None:
        """Select a starting point that was chosen in a comparison."""
        self.fine_tune_panel.select_checkpoint(start)
        self.show_panel(self.fine_tune_panel)

    def _on_models_changed(self) -> None:
        self.segment_panel.refresh_checkpoints()
        self.fine_tune_panel.refresh_checkpoints()
        self.compare_panel.refresh()


def _add(tabs: QTabWidget, panel: QWidget, title: str) -> None:
    """Add a tab that scrolls in a low window."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    tabs.addTab(area, title)
