"""How a panel's job starts, ends, fails, and is stopped or replaced."""

import os
import subprocess
import sys

import pytest
from qtpy.QtWidgets import QPushButton, QWidget

from napari_seglite.errors import ImageError
from napari_seglite.widgets.common import JobRunner, JobStatus, last_of
from napari_seglite.widgets.common.colours import colour

PATIENCE = 120_000  # milliseconds: the first job imports torch


@pytest.fixture
def panel(qtbot):
    """Return a panel with two buttons and a status."""
    widget = QWidget()
    widget.buttons = QPushButton("Start", widget), QPushButton("Stop", widget)
    widget.status = JobStatus(parent=widget)
    qtbot.addWidget(widget)
    return widget


def until_stopped(stop):
    count = 0
    while not stop():
        count += 1
        yield count
    return "partial"


def wait(qtbot, runner):
    qtbot.waitUntil(lambda: not runner.busy, timeout=PATIENCE)


def test_values_and_result_arrive(panel, qtbot):
    runner = JobRunner(panel, panel.status, *panel.buttons)
    seen, results, states = [], [], []
    runner.changed.connect(lambda: states.append(runner.state))
    runner.progressed.connect(seen.append)
    runner.start(lambda _: last_of([1, 2, 3]), succeeded=results.append)
    assert [button.isEnabled() for button in panel.buttons] == [False, True]
    wait(qtbot, runner)
    assert (seen, results, states) == ([1, 2, 3], [3], ["running", "idle"])
    assert [button.isEnabled() for button in panel.buttons] == [True, False]


@pytest.mark.parametrize("keeps_partial", [False, True])
def test_a_stopped_job_is_said_to_be_cancelled_or_has_a_result(panel, qtbot, keeps_partial):
    runner = JobRunner(panel, panel.status, *panel.buttons, keeps_partial=keeps_partial)
    seen, results = [], []
    runner.start(until_stopped, progressed=seen.append, succeeded=results.append)
    qtbot.waitUntil(lambda: bool(seen), timeout=PATIENCE)
    panel.buttons[1].click()
    assert runner.state == "stopping"
    assert panel.status.text() == "Cancelling …"
    runner.show("Step 7")
    assert panel.status.text() == "Cancelling …"
    assert not any(button.isEnabled() for button in panel.buttons)
    wait(qtbot, runner)
    assert results == (["partial"] if keeps_partial else [])
    assert (panel.status.text() == "Cancelled.") is not keeps_partial


def test_a_failed_job_says_why_and_can_be_started_again(panel, qtbot):
    def fail(_):
        yield
        raise ImageError("a.tif: the disk is gone.")

    runner = JobRunner(panel, panel.status, *panel.buttons)
    ends = []
    runner.start(fail, ended=lambda: ends.append(runner.state))
    wait(qtbot, runner)
    assert panel.status.text() == "a.tif: the disk is gone."
    assert colour("error") in panel.status.label.styleSheet()
    assert ends == ["idle"]
    assert panel.buttons[0].isEnabled()
    texts = []
    runner.start(fail, failed=texts.append)
    wait(qtbot, runner)
    assert texts == ["a.tif: the disk is gone."]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_job_that_wants_to_exit_fails_and_the_next_one_works(panel, qtbot, error):
    def leave(_):
        yield 1
        raise error

    runner = JobRunner(panel, panel.status, *panel.buttons)
    runner.start(leave)
    wait(qtbot, runner)
    assert runner.state == "idle"
    assert type(error).__name__ in panel.status.text()
    assert panel.buttons[0].isEnabled()
    results = []
    runner.start(lambda _: last_of([1, 2]), succeeded=results.append)
    wait(qtbot, runner)
    assert results == [2]


def test_a_new_job_takes_the_place_of_one_that_runs(panel, qtbot):
    runner = JobRunner(panel, keeps_partial=True)
    seen, results = [], []
    runner.start(until_stopped, progressed=seen.append, succeeded=results.append)
    qtbot.waitUntil(lambda: bool(seen), timeout=PATIENCE)
    runner.start(lambda _: last_of(["new"]), succeeded=results.append)
    wait(qtbot, runner)
    assert results == ["new"]


def test_only_a_ready_panel_can_start(panel):
    files = []
    runner = JobRunner(panel, None, panel.buttons[0], ready=lambda: bool(files))
    runner.refresh()
    assert not panel.buttons[0].isEnabled()
    files.append("a.tif")
    runner.refresh()
    assert panel.buttons[0].isEnabled()


COLLECTED = """
import gc, threading, time, weakref
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

application = QApplication([])
from napari_seglite.widgets.common import JobRunner

def work(stop):
    yield 1

def pause():
    time.sleep(0.3)
    application.processEvents()
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete)

gc.disable()
for _ in range(2):
    panel = QWidget()
    panel.runner = JobRunner(panel)
    panel.itself = panel  # so that garbage collection alone finds it
    ended = []
    panel.runner.start(work, ended=lambda: ended.append(1))
    while not ended:
        application.processEvents()
    pause()
    gc.collect()
    panel.deleteLater()
    known = weakref.ref(panel)
    del panel
    # As in the thread of another job; Qt destroys the panel later, in its own thread.
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    pause()
print("collected" if known() is None else "kept")
"""


@pytest.mark.skipif(os.environ.get("QT_API") == "pyside6", reason="PySide6 keeps such a panel")
def test_a_panel_that_another_thread_collects_does_not_end_the_program():
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    code = [sys.executable, "-c", COLLECTED]
    done = subprocess.run(code, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "collected"), done.stderr
