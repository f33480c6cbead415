"""The Models tab reads and writes models of other programs."""

import sys
from pathlib import Path

import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from napari_seglite.checkpoints import CheckpointStore
from napari_seglite.widgets.models import ModelsPanel, exchange

sys.path.insert(0, str(Path(__file__).parents[1] / "exchange"))
from foreign import SOURCE, package, state, torchscript

PATIENCE = 60_000


@pytest.fixture
def panel(qtbot):
    widget = ModelsPanel(CheckpointStore())
    qtbot.addWidget(widget)
    widget.show()
    return widget


@pytest.fixture
def code(tmp_path):
    """Return a package with the source of its network, and the file that running it writes."""
    marker = tmp_path / "ran"
    weights = {
        "pytorch_state_dict": {
            "source": "weights.pt",
            "pytorch_version": "2.0",
            "architecture": {"source": "net.py", "callable": "Net", "kwargs": {"gain": 8.0}},
        }
    }
    files = {"weights.pt": state(), "net.py": SOURCE.format(marker=str(marker)).encode()}
    return package(tmp_path / "model.zip", files, weights), marker


def test_torchscript_is_asked_about(panel, tmp_path, monkeypatch, click, qtbot):
    weights = {"torchscript": {"source": "model.pt", "pytorch_version": "2.0"}}
    path = package(tmp_path / "model.zip", {"model.pt": torchscript()}, weights)
    asked = []

    def answer(parent, title, question):
        asked.append((question, panel.store.folder.exists()))
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(panel.buttons["foreign"])
    qtbot.waitUntil(lambda: panel.selected == "Spots-of-others", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.runner.busy, timeout=PATIENCE)
    ((question, imported),) = asked
    assert "TorchScript" in question
    assert not imported


@pytest.mark.parametrize("trusted", [False, True])
def test_code_in_a_package_is_asked_about(panel, code, trusted, monkeypatch, click, qtbot):
    path, marker = code
    asked = []

    def answer(parent, title, question):
        asked.append((question, marker.exists()))
        button = QMessageBox.StandardButton
        return button.Yes if trusted else button.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(panel.buttons["foreign"])
    qtbot.waitUntil(lambda: bool(asked), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.runner.busy, timeout=PATIENCE)
    question, ran = asked[0]
    assert "net.py" in question
    assert "trust its authors" in question
    assert "--trust-code" not in question
    assert not ran
    if trusted:
        assert panel.selected == "Spots-of-others"
        assert marker.exists()
    else:
        assert "Nothing was run" in panel.status.text()
        assert not marker.exists()
        assert panel.store.list() == CheckpointStore().list()
    assert len(asked) == 1


def test_the_chosen_format_is_written(panel, tmp_path, monkeypatch, click, qtbot):
    target, asked = tmp_path / "m.onnx", []
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("ONNX", True))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))

    def written(store, name, format, file, **facts):
        asked.append((name, format, file, facts))
        return file

    # What is written has tests of its own, which take long.
    monkeypatch.setattr(exchange, "export_model", written)
    panel.refresh("general-unet-sharp")
    click(panel.buttons["model"])
    qtbot.waitUntil(lambda: "was written" in panel.status.text(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.runner.busy, timeout=PATIENCE)
    facts = {"authors": (), "licence": ""}
    assert asked == [("general-unet-sharp", "onnx", target, facts)]
