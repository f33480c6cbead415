"""Panel, shell and Python give the same labels to the bit."""

import shlex

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_seglite.cli import main
from napari_seglite.formats import read_labels
from napari_seglite.widgets import sample_data


@pytest.fixture(params=["grey", "rgb", "stack"])
def image_file(request, tmp_path):
    if request.param == "grey":
        return sample_data.load("fluorescence")[1]
    if request.param == "rgb":
        return sample_data.load("histology")[1]
    folder = request.getfixturevalue("real_images") / "em-membranes" / "test"
    stack = tifffile.imread(next(p for p in sorted(folder.glob("*.tif")) if "label" not in p.name))
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", "spacing": 2, "unit": "um"}
    pixels = stack[:3, :160, :200]
    tifffile.imwrite(path, pixels, imagej=True, resolution=(2, 2), metadata=metadata)
    return path


# The file comes first: where it is absent, the test is skipped before there is a viewer, whose
# tear-down in napari needs a test that ran.
def test_three_doors_one_result(image_file, viewer, dock, segment, qtbot, click, tmp_path):
    viewer.open(image_file, plugin="napari")
    panel = dock.segment_panel
    panel.form.threshold.setValue(0.42)
    panel.form.min_size.setValue(12)
    panel.form.output_box.setCurrentIndex(1)
    from_panel = segment().data
    assert from_panel.max() > 1

    clipboard = QApplication.clipboard()
    click(panel.copy_command)
    command = shlex.split(clipboard.text())
    assert command[0] == "seglite"
    command[command.index("--output") + 1] = str(tmp_path / "out")
    if "--slice-spacing" in command:  # the shell finds it in the file, too
        place = command.index("--slice-spacing")
        assert command[place : place + 2] == ["--slice-spacing", "4.0"]
        del command[place : place + 2]
    assert main(command[1:]) == 0
    from_shell = read_labels(tmp_path / "out" / f"{image_file.stem}_labels.tif")
    np.testing.assert_array_equal(from_shell, from_panel)
    assert from_shell.dtype == from_panel.dtype

    click(panel.copy_python)
    scope = {}
    exec(clipboard.text(), scope)
    np.testing.assert_array_equal(scope["labels"], from_panel)
    assert scope["request"] == panel.last.result.request
