"""The panel that finds the network for somebody's own data."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QFormLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

import src_models

from ...checkpoints import CheckpointStore
from ...errors import AnnotationError, SegliteError
from ...runtime import process
from ...training import (
    AnnotatedImage,
    FineTuneRequest,
    IntensityLimits,
    Schedule,
    compare_networks,
    prepare_training,
)
from ..common import Job, JobStatus, ScoreTable, Stop, side_by_side

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...training import ComparisonEvent, RankedNetwork
    from ..common import CorrectionTracker


class ComparePanel(QWidget):
    """Tick networks and checkpoints, click **Compare**: each learns for the same time.

    Parameters
    ----------
    viewer, store, tracker : Viewer, CheckpointStore, CorrectionTracker
        Shared by the panels.
    device : callable
        Returns where it shall run.

    Signals
    -------
    chosen(str)
        The start of a row that was double-clicked.
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
        self._job: Job | None = None
        self.starts = QListWidget()
        self.starts.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.starts.setMaximumHeight(150)
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(2)
        self.minutes.setSuffix(" min each")
        self.compare_button = QPushButton("Compare")
        self.cancel_button = QPushButton("Stop")
        self.status = JobStatus("Which network learns what you corrected best?")
        self.results = ScoreTable("networks.csv")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.starts)
        form.addRow("Time", self.minutes)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(side_by_side(self.compare_button, self.cancel_button))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)
        self.compare_button.clicked.connect(self.compare)
        self.cancel_button.clicked.connect(self.stop)
        self.results.said.connect(self.status.say)
        header = self.results.table.verticalHeader()
        assert header is not None
        header.sectionDoubleClicked.connect(self._on_row)
        self.results.table.cellDoubleClicked.connect(self._on_row)
        self.refresh()
        self._enable()

    @property
    def busy(self) -> bool:
        """Whether networks are being compared."""
        return self._job is not None

    def refresh(self) -> None:
        """Read the list of checkpoints again; what was ticked stays ticked."""
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
        """Return what shall be compared."""
        items = [self.starts.item(k) for k in range(self.starts.count())]
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        ]

    def _enable(self) -> None:
        self.compare_button.setEnabled(not self.busy)
        self.cancel_button.setEnabled(self.busy)

    def requests(self) -> list[FineTuneRequest]:
        """Return what is asked of everything that is ticked."""
        return [
            FineTuneRequest(
                start,
                "compared",
                Schedule(minutes=self.minutes.value()),
                class_names=self.tracker.about.given_names,
                device=self.device(),
            )
            for start in self.ticked()
        ]

    def compare(self) -> None:
        """Start comparing on everything in the viewer that was corrected."""
        if self.busy:
            return
        requests = self.requests()
        try:
            corrected = self.tracker.all()
            if not corrected:
                raise AnnotationError("Correct some slices first; they decide which one is best.")
            if not requests:
                raise AnnotationError("Tick one network or checkpoint at least.")
            images = self.tracker.annotated()
        except SegliteError as error:
            self.status.say(str(error), error=True)
            return
        self.status.start()
        store = self.store
        self._job = job = Job(
            lambda *stops: _compared(requests, images, store, *stops), self, runs_network=True
        )
        job.progressed.connect(self._on_event)
        job.failed.connect(lambda text: self.status.say(text, error=True))
        job.ended.connect(self._on_ended)
        self._enable()
        job.start()

    def stop(self) -> None:
        """End after the current step; what is known stays in the table."""
        if self._job is not None:
            self._job.stop()
            self.status.say("Stopping after this step …")

    def _on_event(self, event: ComparisonEvent) -> None:
        self.status.advance(round(event.progress * 1000), 1000)
        if self._job is not None and not self._job.stopping:
            self.status.say(event.text)
        self.results.show_frame(_table(event))

    def _on_row(self, row: int, _: int = 0) -> None:
        if self.results.frame is not None:
            # A single row is shown as a column.
            rows = self.results.frame.index
            self.chosen.emit(str(rows[row if len(rows) > 1 else 0]))

    def _on_ended(self) -> None:
        self._job = None
        self.status.rest()
        if self.results.frame is not None:
            best = self.results.frame.index[0]
            self.status.say(f"Best so far: {best}. Double-click a row to fine-tune from it.")
        self._enable()


def _compared(
    requests: Sequence[FineTuneRequest],
    images: Sequence[AnnotatedImage],
    store: CheckpointStore,
    stop: Stop,
    gone: Stop,
) -> Generator[ComparisonEvent, None, None]:
    process.load_training()
    limits = IntensityLimits()
    competitors = [prepare_training(r, images, store, limits=limits) for r in requests]
    shown: tuple[RankedNetwork, ...] = ()
    for event in compare_networks(competitors, store, stop, gone):
        rounded = tuple(replace(entry, steps=0, seconds=0.0) for entry in event.ranking)
        if rounded != shown or event.progress >= 1:
            shown = rounded
            yield event


def _table(event: ComparisonEvent) -> Any:
    import pandas as pd

    return pd.DataFrame(
        {
            "Dice": [round(entry.dice, 3) for entry in event.ranking],
            "before": [round(entry.before, 3) for entry in event.ranking],
            "s/megapixel": [round(entry.seconds, 2) for entry in event.ranking],
            "parameters": [entry.parameters for entry in event.ranking],
            "steps": [entry.steps for entry in event.ranking],
        },
        index=pd.Index([entry.start for entry in event.ranking], name="start"),
    )
