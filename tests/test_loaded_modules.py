"""What is loaded: nothing heavy before it is used, and never what only training needs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import src_models
from napari_seglite.checkpoints import CheckpointInfo

ROOT = Path(__file__).parent.parent
WINDOW = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "vispy"}
TRAINING = {"monai", "sympy", "torch._dynamo", "torch._inductor", "matplotlib", "pandas"}
UNUSED = {"skimage", "nibabel", "pydicom", "dask", "pint", "openvino", "requests", "roifile"}
ENGINE = {"torch", "numba", "llvmlite", "zarr", "scipy"}
# Of Numba, what only compiling needs; of SciPy and others, what Numba's compiler loads.
COMPILER = {"numba.np.linalg", "numba.typed.typeddict", "numba.cpython.setobj", "scipy.linalg"}


def loaded(code, names, *arguments):
    """Return which of some modules a program of its own has loaded at its end."""
    code += f"\nprint('LOADED', *sorted({names!r} & set(__import__('sys').modules)))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    printed = subprocess.check_output(command, text=True, env=environment)
    return set(printed.split("LOADED")[1].split())


def test_the_package_alone_loads_nothing():
    names = WINDOW | TRAINING | UNUSED | ENGINE | {"numpy"}
    assert loaded("import napari_seglite", names) == set()


def test_segmenting_a_picture_loads_torch_and_numba_alone(tmp_path):
    image = np.zeros((64, 64), np.uint8)
    image[20:40, 20:40] = 200
    tifffile.imwrite(tmp_path / "cells.tif", image)
    code = "import sys; from napari_seglite.cli import main; assert main(sys.argv[1:]) == 0"
    words = ("segment", tmp_path / "cells.tif", "--checkpoint", "nuclei-s-net")
    found = loaded(
        code,
        WINDOW | TRAINING | UNUSED | ENGINE,
        *words,
        *("--output", tmp_path, "--device", "cpu"),
    )
    assert found == {"torch", "numba", "llvmlite", "scipy"}
    assert (tmp_path / "cells_labels.tif").is_file()


def test_code_from_the_disk_needs_no_compiler(tmp_path):
    code = "from src_models.selective_scan import warm_up; warm_up()"
    loaded(code, set())  # compiles it, unless it is there
    assert loaded(code, {*COMPILER, "numba"}) == {"numba"}


DOCK = """
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=False)
before = set(__import__("sys").modules)
viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
QApplication.processEvents()
"""


def test_opening_the_dock_loads_neither_torch_nor_what_training_needs(tmp_path):
    pytest.importorskip("napari")
    # napari itself loads others of these.
    absent = {"torch", "monai", "sympy", "openvino", "nibabel", "pydicom", "requests", "roifile"}
    code = f"import os; os.environ['NAPARI_CONFIG'] = {str(tmp_path / 'settings.yaml')!r}\n{DOCK}"
    # The dock loads torch in a thread a moment after it was drawn.
    assert loaded(f"{code}\nviewer.close()", absent) == set()


@pytest.mark.parametrize("name", src_models.names())
def test_a_card_has_the_shapes_of_its_network_without_memory(name):
    from napari_seglite.checkpoints.weights import _blank

    info = CheckpointInfo("any", name, in_channels=3)
    blank, real = _blank(info).state_dict(), info.build().state_dict()
    assert {k: v.shape for k, v in blank.items()} == {k: v.shape for k, v in real.items()}
    assert all(v.is_meta for v in blank.values() if v.numel() > 65_536)
