"""The panel that finds the network that learns the user's data best."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

import src_models

from ...checkpoints import CheckpointStore
from ...errors import Cancelled
from ...runtime import process
from ...training import (
    AnnotatedImage,
    FineTuneRequest,
    IntensityLimits,
    Schedule,
    compare_networks,
    prepare_training,
    ranking_table,
)
from ..common import JobRunner, JobStatus, ScoreTable, StopSignal, forms

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...training import ComparisonEvent, RankedNetwork
    from ..common import CorrectionTracker

# Shorter names of columns, for a narrow dock.
TITLES = {"Dice held out": "Dice", "s / megapixel": "s/megapixel"}


class ComparePanel(QWidget):
    """Tick networks and checkpoints, click **Compare**: each is trained for the same time.

    Parameters
    ----------
    viewer, store, tracker : ViewerModel, CheckpointStore, CorrectionTracker
        Shared by the panels.
    device : callable
        Returns the device to train on.

    Signals
    -------
    chosen(str)
        The starting point of a row that was double-clicked.
    """

    chosen = Signal(str)

    def __init__(
        self,
        viewer: ViewerModel,
        store: CheckpointStore,
        tracker: CorrectionTracker,
        device: Callable[[], str] = lambda: "auto",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.store, self.tracker, self.device = viewer, store, tracker, device
        self._build()
        self.runner = JobRunner(
            self,
            self.status,
            self.compare_button,
            self.cancel_button,
            runs_network=True,
            stopping_text="Stopping …",
            stopped_text="Stopped.",
            keeps_partial=True,
        )
        self.compare_button.clicked.connect(self.compare)
        self.results.said.connect(self.status.say)
        header = self.results.table.verticalHeader()
        assert header is not None
        header.sectionDoubleClicked.connect(self._on_row)
        self.results.table.cellDoubleClicked.connect(self._on_row)
        self.refresh()
        self.runner.refresh()

    def _build(self) -> None:
        self.starts = QListWidget()
        self.starts.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.starts.setMaximumHeight(150)
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(2)
        self.minutes.setSuffix(" min each")
        self.compare_button, self.cancel_button = QPushButton("Compare"), QPushButton("Stop")
        self.status = JobStatus("Which network learns your corrections best?")
        self.results = ScoreTable("networks.csv")
        form = forms.form_layout()
        form.addRow(self.starts)
        form.addRow("Time", self.minutes)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(forms.side_by_side(self.compare_button, self.cancel_button))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)

    @property
    def busy(self) -> bool:
        """Whether networks are being compared."""
        return self.runner.busy

    def refresh(self) -> None:
        """Read the list of checkpoints again; ticks stay."""
        before = self.ticked() if self.starts.count() else src_models.names()
        self.starts.clear()
        networks = [(name, f"{name} (from scratch)") for name in src_models.names()]
        for name, title in [*networks, *((info.id, info.id) for info in self.store.list())]:
            item = QListWidgetItem(title)
            item.setData(Qt.ItemDataRole.UserRole, name)
            ticked = Qt.CheckState.Checked if name in before else Qt.CheckState.Unchecked
            item.setCheckState(ticked)
            self.starts.addItem(item)

    def ticked(self) -> list[str]:
        """Return the networks and checkpoints to compare."""
        items = [self.starts.item(k) for k in range(self.starts.count())]
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        ]

    def requests(self) -> list[FineTuneRequest]:
        """Return a request for everything that is ticked."""
        return [
            FineTuneRequest(
                start,
                "compared",
                Schedule(minutes=self.minutes.value()),
                class_names=self.tracker.class_list.given_names,
                device=self.device(),
            )
            for start in self.ticked()
        ]

    def compare(self) -> None:
        """Start comparing on all corrected layers of the viewer."""
        if self.busy:
            return
        requests, images, store = self.requests(), self.tracker.annotated(), self.store
        if not images:
            text = "Correct some slices first; the comparison is made on them."
            self.status.say(text, error=True)
        elif not requests:
            self.status.say("Tick at least one network or checkpoint.", error=True)
        else:
            self.runner.start(
                lambda stop: _compared(requests, images, store, stop),
                progressed=self._on_event,
                succeeded=lambda _: self._on_result(),
            )

    def _on_event(self, event: ComparisonEvent) -> None:
        self.runner.show(event.text, round(event.progress * 1000), 1000)
        self.results.show_frame(
            ranking_table(event.ranking), {"Dice held out": "Dice", "s / megapixel": "s/megapixel"}
        )

    def _on_result(self) -> None:
        if self.results.frame is not None:
            best = self.results.frame.index[0]
            self.status.say(f"Best so far: {best}. Double-click a row to fine-tune from it.")

    def _on_row(self, row: int, _: int = 0) -> None:
        if self.results.frame is not None:
            # A single row is shown as a column.
            rows = self.results.frame.index
            self.chosen.emit(str(rows[row if len(rows) > 1 else 0]))


def _compared(
    requests: Sequence[FineTuneRequest],
    images: Sequence[AnnotatedImage],
    store: CheckpointStore,
    stop: StopSignal,
) -> Generator[ComparisonEvent, None, None]:
    process.load_training()
    limits = IntensityLimits()
    competitors = [prepare_training(r, images, store, limits=limits) for r in requests]
    last: tuple[RankedNetwork, ...] = ()
    try:
        for event in compare_networks(competitors, store, stop.requested, stop.closing):
            # Not after every step, but when a Dice changed.
            ranking = tuple(replace(entry, steps=0, seconds=0.0) for entry in event.ranking)
            if ranking != last or event.progress >= 1:
                last = ranking
                yield event
    except Cancelled:
        if stop.closing():
            raise
        # Stopped between two networks: the ranking so far stands.
