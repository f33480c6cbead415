"""The Fine-tune tab: one bar for the whole of a run, curves of parts, words that are explained."""

from dataclasses import replace
from time import monotonic

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QFileDialog, QWidget

import src_models
from napari_seglite.checkpoints import score_of
from napari_seglite.training import FullTraining, fine_tuner, live, start_info
from napari_seglite.training.strokes import Strokes
from napari_seglite.training.trainer import Trainer
from napari_seglite.widgets.common import CheckpointBox, forms, preferences
from src_models import vgg16_file

PATIENCE = 300_000  # milliseconds: tests do not measure time, and machines are busy


@pytest.fixture
def panel(viewer, dock, nuclei):
    """Return the panel with an image and labels that were made from its bright pixels."""
    viewer.add_image(nuclei, name="cells")
    labels = viewer.add_labels((nuclei > np.percentile(nuclei, 80)).astype(np.uint8), name="truth")
    panel = dock.fine_tune_panel
    panel.offer(viewer.layers["cells"], labels, "nuclei-unet-sharp")
    dock.show_panel(panel)
    return panel


def adjust(panel, monkeypatch, **settings):
    """Let the form ask for other settings, too."""
    asked = panel.form.request
    monkeypatch.setattr(panel.form, "request", lambda: asked().adjusted(**settings))


def test_a_head_for_objects(panel, click):
    form = panel.form
    assert form.objects.isChecked()  # the start has one
    assert not form.objects.isEnabled()
    assert form.request().head is None
    for start in ("nuclei-s-net", "celnet"):
        form.checkpoint_box.select(start)
        assert form.request().head is None
        click(form.objects)
        assert form.request().head == "distance"


def test_one_bar_for_the_whole_of_a_run(panel, click, qtbot, monkeypatch):
    adjust(panel, monkeypatch, folds=2, keep_best=False, validate_every=2, patch=32, batch=1)
    panel.form.steps.setValue(6)
    values, texts = [], []
    panel.status.bar.valueChanged.connect(values.append)
    panel.runner.progressed.connect(lambda _: texts.append(panel.status.text()))
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    shown = [value for value in values if value >= 0][:-1]  # the last is that of the bar at rest
    assert shown == sorted(shown)
    assert shown[-1] == 1000
    assert any("Step 6 of 6 (all parts)" in text for text in texts)
    assert any("(part 2 of 2)" in text and " left" in text for text in texts)
    # Each part has lines of its own, which rise.
    parts = panel.curve.parts
    assert list(parts) == ["part 1 of 2", "part 2 of 2", "all parts"]
    for part in parts.values():
        steps = [step for step, _ in part.loss]
        assert steps == [1, 2]
    assert [label.text for _, label in panel.curve._legend.items] == list(parts)


def test_a_run_with_too_few_steps_offers_to_go_on(panel, click, qtbot, monkeypatch):
    made, step = [], Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda *given: made.append(0) or step(*given))
    # A clock on which every step takes three minutes.
    monkeypatch.setattr(fine_tuner, "WorkClock", lambda: lambda: monotonic() + 180 * len(made))
    form, starts, ask = panel.form, [], panel.form.request

    def request():
        asked = ask().adjusted(folds=1, patch=32, batch=1, learning_rate=1e-12)
        starts.append(asked.checkpoint)
        # The first answer gains something, steps at this rate do not.
        first = FullTraining(1e-12) if len(starts) == 1 else None
        return asked.adjusted(full_training=first, known_dice=1.0, frozen_norm=first is None)

    monkeypatch.setattr(form, "request", request)
    form.steps.setValue(1000)
    form.minutes.setValue(9)
    form.checkpoint_box.select("general-unet-sharp")
    click(panel.start_button)
    assert panel.go_on_button.isHidden()
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert "fine-tune the new checkpoint to go on" in panel.status.text()
    assert panel.go_on_button.text() == "Go on for 9 min"
    form.checkpoint_box.select("nuclei-s-net")
    click(panel.go_on_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    # Where nothing was gained, the next try is longer.
    assert "allow more time" in panel.status.text()
    assert panel.go_on_button.text() == "Try again for 18 min"
    assert starts == ["general-unet-sharp", "general-unet-sharp-tuned-1"]


def test_every_control_is_explained(panel):
    form = panel.form
    controls = {
        "image": form.image_box.native,
        "labels": form.labels_box.native,
        **{name: value for name, value in vars(form).items() if isinstance(value, QWidget)},
        **{
            name: value for name, value in vars(panel).items() if isinstance(value, QAbstractButton)
        },
    }
    controls.pop("_rows", None)
    assert [name for name, control in controls.items() if not control.toolTip()] == []
    tips = " ".join(control.toolTip() for control in controls.values())
    for word in ("Dice", "held out", "decoder", "Replay", "Early stopping"):
        assert word in tips


def test_long_names_differ_where_they_are_cut(qtbot, store, untrained):
    name = "nuclei-of-the-zebrafish-embryo-at-24-hours-tuned"
    weights = untrained.build().state_dict()
    for number in (1, 2):
        store.save(replace(untrained, id=f"{name}-{number}"), weights)
    box = CheckpointBox(store)
    qtbot.addWidget(box)
    box.setFixedWidth(140)
    box.show()
    shown = set()
    for number in (1, 2):
        box.select(f"{name}-{number}")
        shown.add(box.shown_text)
        assert name in box.toolTip()
        assert box.shown_text.endswith(f"-{number}")
        box.grab()  # draws
    assert len(shown) == 2
    assert all(len(text) < len(name) for text in shown)


def test_live_tells_how_well_it_does_and_goes_back(panel, click, qtbot, monkeypatch):
    monkeypatch.setattr(Strokes, "falling", True)
    monkeypatch.setattr(live, "ENOUGH", 2)
    panel.form.live.setChecked(True)
    click(panel.start_button)
    qtbot.waitUntil(lambda: "now." in panel.status.text(), timeout=PATIENCE)
    assert "Dice on your corrections" in panel.status.text()
    assert len(panel.curve.dice) == 1
    assert panel.best_button.isVisible()
    click(panel.best_button)
    back = "Back to the weights of the start"
    qtbot.waitUntil(lambda: back in panel.status.text(), timeout=PATIENCE)
    assert not panel.best_button.isVisible()
    click(panel.stop_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert score_of(panel.store.info("nuclei-unet-sharp-tuned-1")) is not None


def test_the_network_that_starts_from_scratch(panel, click, qtbot, monkeypatch, tmp_path):
    """Its options and the terms of its loss, with LossNet and without."""
    monkeypatch.delenv("SEGLITE_VGG16", raising=False)
    monkeypatch.setattr(vgg16_file, "_chosen", None)
    form, rows = panel.form, panel.form.network_rows
    assert form.request().options is None  # a checkpoint is what it is
    assert "BCE of presence" in rows.loss.text()
    assert not rows.vgg16.isVisible()
    form.checkpoint_box.select("u2net-msac")
    assert form.request().options == {"variant": "attention"}
    rows.choose("variant", "light")
    assert form.request().options == {"variant": "light"}
    assert "MS-SSIM" in rows.loss.text()
    assert form.request().recipe == "ours"
    assert rows.recipe.isHidden()
    form.checkpoint_box.select("m2snet")
    assert form.request().options == {"preset": "light", "multi_scale": True}
    assert not rows.recipe.isHidden()
    forms.select(rows.recipe, "authors")
    assert form.request().recipe == "authors"
    forms.select(rows.recipe, "ours")
    rows.choose("multi_scale", False)
    assert start_info(form.request(), panel.store).options["multi_scale"] is False
    assert "LossNet is off" in rows.loss.text()
    weights = tmp_path / "vgg16.pth"
    weights.touch()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(weights), ""))
    click(rows.vgg16)
    assert "off" not in rows.loss.text()
    assert vgg16_file.chosen() == weights
    assert preferences.load({"vgg16": ""}) == {"vgg16": str(weights)}
    weights.unlink()
    form.checkpoint_box.select("celnet")
    form.checkpoint_box.select("m2snet")
    assert "there is no file" in rows.loss.text()

    form.checkpoint_box.select("unet-sharp")
    assert {box.toolTip() for box in rows._choices.values()} >= {
        option.tip for option in src_models.card("unet-sharp").options if option.title
    }
    assert form.request().options["preset"] == "tiny"  # not 10.7 M parameters unasked
    adjust(panel, monkeypatch, batch=1, patch=32, keep_unimproved=True)
    form.steps.setValue(1)
    learnt = []
    panel.learnt.connect(learnt.append)
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert learnt, panel.status.text()
    assert learnt[0].options["preset"] == "tiny"


def test_volumes_of_a_stack(viewer, dock, click, qtbot, monkeypatch):
    """Only for a stack along Z and a network that can; the slices' distance sets the pooling."""
    z, y, x = np.mgrid[:8, :32, :40]
    truth = ((y - 12 - z) ** 2 + (x - 16) ** 2 < 49).astype(np.uint8)
    place = {"scale": (4, 1, 1), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
    image = viewer.add_image(truth * 0.7 + (x + y) % 3 * 0.1, name="stack", **place)
    flat = viewer.add_image(np.zeros((32, 40)), name="flat")
    labels = viewer.add_labels(truth, name="truth", **place)
    panel, form = dock.fine_tune_panel, dock.fine_tune_panel.form
    panel.offer(image, labels, "unet-sharp")
    dock.show_panel(panel)
    assert form.learns_from.isVisible()
    form.image_box.value = flat
    assert form.learns_from.isHidden()
    form.image_box.value = image
    for start in ("celnet", "nuclei-unet-sharp"):
        form.checkpoint_box.select(start)
        assert form.learns_from.isHidden()
    form.checkpoint_box.select("unet-sharp")
    assert form.request().options == {"preset": "tiny"}
    form.live.setChecked(True)
    form.learns_from.setCurrentIndex(form.learns_from.findData("volumes"))
    assert not form.live.isChecked()
    assert not form.live.isEnabled()
    assert form.objects.isEnabled()
    assert form.request().head is None
    form.objects.setChecked(True)
    assert (form.request().head, form.request().options["dims"]) == ("distance", 3)

    adjust(panel, monkeypatch, folds=1, validate_every=2, patch=32, batch=1)
    form.frames.setText("0,3,6")
    form.steps.setValue(2)
    name = form.name.text()
    click(panel.start_button)  # the object goes on in slices that were not corrected
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    assert not panel.store.is_taken(name)
    assert "Correct neighbouring slices one after the other" in panel.status.text()
    form.frames.setText("0-7")
    click(panel.start_button)
    qtbot.waitUntil(lambda: not panel.busy, timeout=PATIENCE)
    info = panel.store.info(name)
    assert info.options == {"dims": 3, "preset": "tiny", "spacing": [4.0, 1.0, 1.0]}
    assert info.head == "distance"
    # A volumetric checkpoint goes on as one: there is nothing to choose.
    form.checkpoint_box.select(name)
    assert form.learns_from.isHidden()
    assert not form.live.isEnabled()
    assert form.objects.isChecked()
    assert not form.objects.isEnabled()
    assert (form.request().options, form.request().head) == (None, None)
