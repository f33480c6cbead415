"""The Models tab opens whatever lies in the folder of checkpoints."""

import json
import shutil

import pytest
from authors_files import unet_sharp
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.widgets.models import ModelsPanel


@pytest.fixture
def put(store):
    """Return a function that writes a checkpoint with a changed card past the store."""
    info = CheckpointInfo("good", "unet-sharp", options={"preset": "tiny"})
    store.save(info, info.build().state_dict())

    def write(name, **changes):
        shutil.copytree(store.folder / "good", store.folder / name)
        path = store.folder / name / "card.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "id": name, **changes}))

    return write


@pytest.fixture
def panel(qtbot, put):
    """Return a function that opens the panel."""

    def show():
        widget = ModelsPanel(CheckpointStore())
        qtbot.addWidget(widget)
        widget.show()
        return widget

    return show


def enabled(panel):
    return {name for name, button in panel.buttons.items() if button.isEnabled()}


def item(panel, name):
    (found,) = panel.tree.findItems(name, Qt.MatchFlag.MatchRecursive | Qt.MatchFlag.MatchExactly)
    return found


def test_damaged_checkpoints_are_shown_and_can_be_deleted(
    panel, put, store, qtbot, click, monkeypatch
):
    put("bad", scores=None)
    put("loop", parent="loop")
    put("a", parent="b")
    put("b", parent="c")
    put("c", parent="a")
    put("child", parent="a")
    (store.folder / "empty <b>").mkdir()
    shown = panel()
    damaged = ("bad", "loop", "a", "b", "c", "empty <b>")
    for name in damaged:
        shown.tree.setCurrentItem(item(shown, name))
        assert enabled(shown) == {"delete", "import", "fetch", "foreign", "published"}
        assert shown.status.text().replace("\n", " ") != ""
        assert not item(shown, name).icon(0).isNull()
        shown.use()
    shown.tree.setCurrentItem(item(shown, "bad"))
    assert "scores: " in shown.status.text()
    shown.tree.setCurrentItem(item(shown, "loop"))
    assert "trained from itself" in shown.status.text()
    shown.tree.setCurrentItem(item(shown, "child"))
    assert enabled(shown) == set(shown.buttons)
    chosen = []
    shown.chosen.connect(chosen.append)
    shown.tree.setCurrentItem(item(shown, "bad"))
    shown.tree.itemDoubleClicked.emit(item(shown, "bad"), 0)
    shown.tree.setCurrentItem(item(shown, "empty <b>"))
    shown.use()
    assert chosen == []
    asked = []

    def answer(parent, title, question):
        asked.append(question)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    for name in damaged:
        shown.tree.setCurrentItem(item(shown, name))
        click(shown.buttons["delete"])
    assert [name in question for name, question in zip(damaged, asked, strict=True)] == [True] * 6
    assert sorted(p.name for p in store.folder.iterdir()) == ["child", "good"]
    assert store.damaged() == {}


def test_renaming_a_child_to_its_deleted_parents_name(panel, put, store):
    put("tiny")
    put("tiny-tuned-1", parent="tiny")
    store.delete("tiny")
    store.rename("tiny-tuned-1", "tiny")
    shown = panel()
    assert item(shown, "tiny").parent() is None
    # As an earlier version wrote it.
    path = store.folder / "tiny" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parent": "tiny"}))
    shown.refresh()
    assert item(shown, "tiny").parent() is None


ODD = [
    {"settings": {"frames": 3}},
    {"settings": {"frames": ["a"], "steps_done": "x", "seconds": None, "seed": [1]}},
    {"settings": {"frames": ["a"], "steps_done": 1e308, "seconds": float("nan")}},
    {"scores": {"validation_dice": 0.5}, "parent": "good"},
    {"scores": {"validation_dice": float("nan"), "test_dice": float("inf")}, "parent": "good"},
    {"curves": {"loss": [[float("nan"), 1], [1, float("inf")], [1e308, 1e308]], "dice": []}},
    {"curves": {"loss": [[1, float("nan")]], "dice": [[1, float("nan")]], "other": [[1, 2]]}},
    {"curves": {"loss": [[k, 1] for k in range(20_000)]}},
    {"created": "x"},
    {"description": "<img src='x.png'><b>bold</b>\x1b[2J", "note": "<b>x</b>\x07"},
]


@pytest.mark.parametrize("changes", ODD)
def test_a_valid_card_is_shown_whatever_it_says(panel, put, changes, qtbot):
    put("odd", **changes)
    shown = panel()
    shown.tree.setCurrentItem(item(shown, "odd"))
    assert enabled(shown) == set(shown.buttons)
    shown.curve.grab()  # draws
    assert "\x1b" not in shown.status.text() + item(shown, "odd").toolTip(0)
    if "<b>" in changes.get("description", ""):
        assert "<b>bold</b>" in shown.status.text()
        assert shown.status.textFormat() == Qt.TextFormat.PlainText
        assert "&lt;b&gt;bold" in item(shown, "odd").toolTip(0)


def test_importing_an_odd_file_is_told(panel, put, store, tmp_path, click, monkeypatch):
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    shown = panel()
    click(shown.buttons["import"])
    assert "does not contain a checkpoint" in shown.status.text()
    assert [p.name for p in store.folder.iterdir()] == ["good"]


def test_authors_weights_are_imported(panel, store, tmp_path, click, monkeypatch, qtbot):
    path = tmp_path / "good.pth"
    unet_sharp(path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    shown = panel()
    changes = []
    shown.changed.connect(lambda: changes.append(shown.selected))

    def ask(kind, name):
        click(shown.buttons["published"])
        dialog = shown.dialog
        dialog.kind_box.setCurrentIndex(dialog.kind_box.findData(kind))
        assert dialog.name_edit.text() == "good"
        assert not dialog.import_button.isEnabled()
        assert "There is a checkpoint good already" in dialog.problem.text()
        dialog.name_edit.setText(name)
        assert dialog.problem.text() == ""
        dialog.classes_edit.setText("background, nucleus")
        click(dialog.import_button)
        qtbot.waitUntil(lambda: not shown.runner.busy, timeout=60_000)

    ask("s-net", "net")
    assert "look like those of unet-sharp" in shown.status.text()
    assert changes == []
    ask("unet-sharp", "net")
    assert changes == ["net"]
    assert store.info("net").class_names == ("background", "nucleus")
    text = shown.status.text()
    assert "From the file: good.pth" in text
    assert "Qian et al." in text
    assert "Licence: not stated" in text
    assert enabled(shown) == set(shown.buttons)


def test_the_dock_opens_with_a_damaged_checkpoint(put, request):
    put("bad", scores=None)
    dock = request.getfixturevalue("dock")
    tree = dock.models_panel.tree
    assert "bad" in {tree.topLevelItem(k).text(0) for k in range(tree.topLevelItemCount())}
    for box in (dock.segment_panel.form.checkpoint_box, dock.fine_tune_panel.form.checkpoint_box):
        assert box.findData("good") >= 0
        assert box.findData("bad") < 0
