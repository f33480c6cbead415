"""Objects one by one in a real window: the least confident next, splits and merges by one key."""

import numpy as np
from skimage.draw import disk

PATIENCE = 300_000
WIDE, CUT, SMALL = 1, 40, 41


def cells():
    """Return labels of 12 round cells: two of them are one object, one is cut in two."""
    labels = np.zeros((120, 160), np.uint16)
    for number in range(12):
        y, x = divmod(number, 4)
        labels[disk((20 + 40 * y, 20 + 40 * x), 12, shape=labels.shape)] = number + 10
    labels[np.isin(labels, (10, 11))] = WIDE
    labels[17:23, 20:60][labels[17:23, 20:60] == 0] = WIDE
    right = labels == 17
    labels[right] = CUT
    right[:, : 60 + 1] = False
    labels[
        (labels == CUT) & (np.indices(labels.shape)[1] > np.nonzero(labels == CUT)[1].mean())
    ] = SMALL
    return labels


def test_next_object_and_yes_no_queue(viewer, dock, click, qtbot, tmp_path):
    labels = np.stack([np.zeros((120, 160), np.uint16), cells()])
    labels[0, :5, :5] = 90  # the largest id is in another slice
    image = viewer.add_image((labels > 0) * 200.0, name="cells", axis_labels=("z", "y", "x"))
    layer = viewer.add_labels(labels.copy(), name="objects")
    panel = dock.correct_panel
    panel.offer(image, layer, "")
    queue = panel.queue
    viewer.dims.set_current_step(0, 1)
    viewer.layers.selection.active = layer

    def done(button):
        click(button)
        qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)

    done(queue.next_button)
    assert panel.status.text().startswith(f"Object {WIDE}: confidence")  # large and dented
    assert "odd in size or shape" in panel.status.text()
    assert layer.selected_label == WIDE
    zoom = viewer.camera.zoom
    np.testing.assert_allclose(viewer.camera.center[-2:], (19.5, 39.5), atol=2)
    done(queue.next_button)
    second = layer.selected_label
    assert second != WIDE
    assert viewer.camera.zoom > 1.2 * zoom  # it is smaller

    assert not queue.answers.isVisibleTo(queue)
    done(queue.ask_button)
    asked = {(p.kind, p.label, p.other) for p in queue._pending}
    assert asked == {("split", WIDE, 0), ("merge", CUT, SMALL)} or asked == {
        ("split", WIDE, 0),
        ("merge", SMALL, CUT),
    }
    assert queue.answers.isVisibleTo(queue)
    assert any(each.name == "proposed change" for each in viewer.layers)
    assert viewer.layers.selection.active is layer  # keys go to the labels
    for _ in range(2):
        before = layer.data.copy()
        kind = queue._pending[0].kind
        key = next(k for k, act in queue.keys.items() if act == queue.yes)
        list(layer.keymap.values())[[str(k) for k in layer.keymap].index(key)](layer)
        changed = layer.data != before
        assert changed[1].any()
        assert not changed[0].any()
        if kind == "split":
            assert set(np.unique(layer.data)) - set(np.unique(before)) == {91}
            assert (before[changed] == WIDE).all()
            assert abs(int((layer.data == 91).sum()) - int((layer.data == WIDE).sum())) < 120
        else:
            gone = set(np.unique(before)) - set(np.unique(layer.data))
            assert gone in ({CUT}, {SMALL})
        layer.undo()  # one step each
        np.testing.assert_array_equal(layer.data, before)
        layer.redo()
    assert "Nothing more" in panel.status.text()
    assert not queue.answers.isVisibleTo(queue)
    assert not any(each.name == "proposed change" for each in viewer.layers)
    # What is painted, too, is what the corrections are made of.
    (entry,) = dock.tracker.corrected()
    assert entry.entry.corrections.frames == [1]

    layer.data = labels.copy()
    queue._answered.clear()
    done(queue.ask_button)
    click(queue.skip_button)
    click(queue.no_button)
    assert "Nothing more" in panel.status.text()
    np.testing.assert_array_equal(layer.data, labels)
    done(queue.ask_button)
    assert len(queue._pending) == 1  # what was answered no is not asked again
    layer.data[1][layer.data[1] == queue._pending[0].label] = 0
    layer.data[1][layer.data[1] == queue._pending[0].other] = 0
    before = layer.data.copy()
    click(queue.yes_button)  # the labels changed in the meantime
    np.testing.assert_array_equal(layer.data, before)


def test_quality_is_listed_and_follows_what_is_accepted(viewer, dock, click, qtbot, corrected):
    panel = dock.correct_panel

    def listed():
        qtbot.waitUntil(
            lambda: not panel.quality.runner.busy and not panel._refresh.isActive(),
            timeout=PATIENCE,
        )
        top = panel.list.topLevelItem(0)
        return [float(top.child(k).text(3)) for k in range(top.childCount())]

    qtbot.waitUntil(lambda: panel.list.topLevelItem(0).child(0).text(3) != "", timeout=PATIENCE)
    before = listed()
    assert len(before) == 4
    assert all(0.5 < value <= 1 for value in before)
    # Half of each accepted slice was wrong: the others are expected to be wrong as well.
    for number in (0, 1):
        viewer.dims.set_current_step(0, number)
        half = corrected.data[number].copy()
        half[: len(half) // 2] = 0
        y, x = np.nonzero(corrected.data[number] != half)
        corrected.data_setitem((np.full(y.shape, number), y, x), 0)
        click(panel.slices.accept_button)
        qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    qtbot.waitUntil(lambda: listed()[3] < before[3] - 0.1, timeout=PATIENCE)

    viewer.dims.set_current_step(0, 3)
    click(panel.queue.ask_button)
    assert "number classes" in panel.status.text()
    click(panel.queue.next_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert panel.status.text().startswith("Object 1: confidence")
