"""The Models tab fetches checkpoints from a release while the user works on."""

import pytest
from qtpy.QtCore import Qt
from release_server import NAME, make_release, serving

from napari_seglite.catalogue import ENVIRONMENT_VARIABLE
from napari_seglite.widgets.common import preferences

PATIENCE = 60_000


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serving(make_release(tmp_path)) as running:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"{running.url}/catalogue.json")
        yield running


@pytest.fixture
def opened(dock, click, qtbot):
    """Return a function that opens the window and waits for its list."""

    def show():
        panel = dock.models_panel
        dock.show_panel(panel)
        click(panel.buttons["fetch"])
        dialog = panel.fetch_dialog
        qtbot.waitUntil(lambda: not dialog.runner.busy, timeout=PATIENCE)
        return dialog

    return show


def names(dock):
    box = dock.segment_panel.form.checkpoint_box
    return [box.itemData(k) for k in range(box.count())]


def test_a_checkpoint_is_fetched_and_can_be_chosen(server, opened, dock, store, click, qtbot):
    dialog = opened()
    assert dialog.isVisible()
    assert not dialog.isModal()
    row = dialog.tree.topLevelItem(0)
    assert (row.text(0), row.text(2)) == (NAME, "")
    assert "A start for tests" in dialog.about.text()
    assert "Licence: CC0" in dialog.about.text()
    assert dialog.fetch_button.isEnabled()
    assert NAME not in names(dock)
    click(dialog.fetch_button)
    assert dialog.cancel_button.isEnabled()
    assert not dialog.fetch_button.isEnabled()
    qtbot.waitUntil(lambda: not dialog.runner.busy, timeout=PATIENCE)
    assert f"{NAME} is there" in dialog.status.text()
    assert row.text(2) == "yes"
    assert not dialog.fetch_button.isEnabled()
    assert dock.models_panel.selected == NAME
    assert NAME in names(dock)
    assert store.load(NAME)[0].network == "unet-sharp"
    click(dialog.close_button)
    assert not dialog.isVisible()
    assert opened() is dialog
    assert dialog.tree.topLevelItemCount() == 1


def test_a_silent_server_neither_blocks_the_window_nor_cancelling(
    server, opened, dock, store, click, qtbot
):
    server.sends, server.then = 100_000, "silent"
    dialog = opened()
    click(dialog.fetch_button)
    qtbot.waitUntil(lambda: "Fetching" in dialog.status.text(), timeout=PATIENCE)
    assert 0 < dialog.status.bar.value() < dialog.status.bar.maximum()
    dock.show_panel(dock.correct_panel)  # the user works on
    assert dock.correct_panel.isVisible()
    click(dialog.cancel_button)
    qtbot.waitUntil(lambda: not dialog.runner.busy, timeout=PATIENCE)
    assert dialog.status.text() == "Cancelled. Nothing was kept."
    assert dialog.fetch_button.isEnabled()
    assert not list(store.folder.iterdir())
    # Closing the window ends a download, too.
    click(dialog.fetch_button)
    qtbot.waitUntil(lambda: bool(list(store.folder.glob(".writing-*/*.zip"))), timeout=PATIENCE)
    click(dialog.close_button)
    qtbot.waitUntil(lambda: not list(store.folder.iterdir()), timeout=PATIENCE)
    # And so does closing napari's: see `SegliteDock.shut`.
    dialog = opened()
    click(dialog.fetch_button)
    qtbot.waitUntil(lambda: bool(list(store.folder.glob(".writing-*/*.zip"))), timeout=PATIENCE)
    dock.shut()
    qtbot.waitUntil(lambda: not list(store.folder.iterdir()), timeout=PATIENCE)


def test_what_goes_wrong_is_told_in_the_window(server, opened, store, click, qtbot):
    server.sends = 100_000
    dialog = opened()
    click(dialog.fetch_button)
    qtbot.waitUntil(lambda: not dialog.runner.busy, timeout=PATIENCE)
    assert "broke off. Try again" in dialog.status.text()
    assert not list(store.folder.iterdir())
    server.sends = None
    qtbot.keyClick(dialog.tree, Qt.Key.Key_Return)
    assert dialog.isVisible()
    click(dialog.fetch_button)
    qtbot.waitUntil(lambda: not dialog.runner.busy, timeout=PATIENCE)
    assert store.is_taken(NAME)


def test_the_preference_names_a_catalogue(dock, opened, tmp_path):
    path = tmp_path / "own.json"
    path.write_text('{"format": 1, "checkpoints": []}')
    preferences.save({"catalogue": str(path)})
    dialog = opened()
    assert dialog.status.text() == f"The catalogue {path} is empty."
    assert not dialog.fetch_button.isEnabled()
