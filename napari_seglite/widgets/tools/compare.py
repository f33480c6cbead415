"""The panel that finds the network that learns the user's data best."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTableWidgetItem,
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
from ..common import JobRunner, JobStatus, ScoreTable, StopSignal, forms, plain_tip
from . import words

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...training import ComparisonEvent, RankedNetwork
    from ..common import CorrectionTracker

# Shorter names of columns, for a narrow dock.
TITLES = {"Dice held out": "Dice", "s / megapixel": "s/MP", "parameters": "size"}
# Width of the names of rows, in characters; longer ones are cut in the middle.
NAME_WIDTH = 14


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
        self.starts.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.starts.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.starts.setToolTip(
            "What to train: your checkpoints first, then networks from scratch. Trained "
            "checkpoints learn from few corrections, networks from scratch need many."
        )
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 600)
        self.minutes.setValue(2)
        self.minutes.setSuffix(" min each")
        self.minutes.setToolTip(
            "Training time of each, the parts that are held out in turn included. 2 min give an "
            "idea, 10 min a ranking to rely on."
        )
        self.compare_button, self.cancel_button = QPushButton("Compare"), QPushButton("Stop")
        self.compare_button.setToolTip(
            "Train all that are ticked on your corrections, each on the same parts and for the "
            "same time, and rank them by the Dice on parts held out. No checkpoint is saved."
        )
        self.cancel_button.setToolTip("Stop; the ranking so far stays")
        self.status = JobStatus("Which network learns your corrections best?")
        self.results = ScoreTable("networks.csv")
        self._fit_columns()
        form = forms.form_layout()
        form.addRow(self.starts)
        form.addRow("Time", self.minutes)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(forms.side_by_side(self.compare_button, self.cancel_button))
        column.addWidget(self.status)
        column.addWidget(self.results, 1)

    def _fit_columns(self) -> None:
        """Let the table fit into a narrow dock: equal columns, long names cut in the middle."""
        rows, columns = self.results.table.verticalHeader(), self.results.table.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        rows.setMaximumWidth(NAME_WIDTH * self.fontMetrics().averageCharWidth())
        columns.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        columns.setMinimumSectionSize(20)

    @property
    def busy(self) -> bool:
        """Whether networks are being compared."""
        return self.runner.busy

    def refresh(self) -> None:
        """Read the list of checkpoints again; ticks stay, and trained ones are ticked at first."""
        known = {name: name in self.ticked() for name in self._names()}
        self.starts.clear()
        networks = [(name, f"{name} (from scratch)", False) for name in src_models.names()]
        for name, title, trained in [
            *((info.id, info.id, True) for info in self.store.list()),
            *networks,
        ]:
            item = QListWidgetItem(title)
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setToolTip(plain_tip(title))
            ticked = known.get(name, trained)
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.starts.addItem(item)

    def _items(self) -> list[QListWidgetItem]:
        items = (self.starts.item(k) for k in range(self.starts.count()))
        return [item for item in items if item is not None]

    def _names(self) -> list[str]:
        return [str(item.data(Qt.ItemDataRole.UserRole)) for item in self._items()]

    def ticked(self) -> list[str]:
        """Return the networks and checkpoints to compare."""
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in self._items()
            if item.checkState() == Qt.CheckState.Checked
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
        ranking = ranking_table(event.ranking)
        self.results.show_frame(ranking, TITLES)
        table = self.results.table
        words.explain(table, list(ranking), words.ranking)
        if len(ranking) > 1:
            size = list(ranking).index("parameters")
            for row, (start, weights) in enumerate(ranking["parameters"].items()):
                cast("QTableWidgetItem", table.item(row, size)).setText(f"{weights / 1e6:.1f} M")
                cast("QTableWidgetItem", table.verticalHeaderItem(row)).setToolTip(plain_tip(start))

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
