"""The wheel that users install holds everything and is a valid plugin."""

import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest
import tifffile
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
# Together, because they share the wheel.
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that neither an old build gets into the wheel nor a new one into the tree.
    tree = folder / "tree"
    for name in ("napari_seglite", "src_models"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "napari.yaml"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(tree)], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_is_whole(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for expected in (
        "napari_seglite/napari.yaml",
        "napari_seglite/samples/nuclei-fluorescence.png",
        "napari_seglite/checkpoints/builtin/nuclei-s-net/weights.safetensors",
        "napari_seglite/checkpoints/builtin/nuclei-s-net/card.json",
        "napari_seglite/checkpoints/builtin/general-unet-sharp/weights.safetensors",
        "napari_seglite/checkpoints/builtin/general-unet-sharp/replay.npz",
        "src_models/s_net.py",
    ):
        assert expected in names
    assert not [n for n in names if n.startswith(("tests/", "scripts/", "benchmarks/"))]


def test_installed_plugin_is_valid(wheel, tmp_path):
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    code = "import napari_seglite, src_models; print(napari_seglite.__file__, src_models.__file__)"
    found = subprocess.check_output(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, text=True
    )
    assert found.count(str(target)) == 2
    npe2 = [sys.executable, "-m", "npe2", "validate", "napari-seglite"]
    done = subprocess.run(npe2, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Manifest for 'SegLite' valid" in done.stdout


def test_wheel_passes_the_checks_of_a_release(wheel):
    code = "import sys, pathlib, release; release.check(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    check = [sys.executable, "-c", code, str(wheel)]
    done = subprocess.run(check, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    assert "OK" in done.stdout


def metadata(wheel):
    """Return the metadata of a wheel, as a message."""
    packed = zipfile.ZipFile(wheel)
    (name,) = (n for n in packed.namelist() if n.endswith(".dist-info/METADATA"))
    return message_from_bytes(packed.read(name))


def test_napari_hub_finds_what_it_shows(wheel):
    told = metadata(wheel)
    assert "Framework :: napari" in told.get_all("Classifier")
    assert told["License-Expression"] == "BSD-3-Clause"
    assert told["Description-Content-Type"] == "text/markdown"
    assert told["Summary"]
    assert "napari" in told["Keywords"]


def required(wheel, extra=""):
    """Return the names of what a wheel requires, by itself or with an extra."""
    found = map(Requirement, metadata(wheel).get_all("Requires-Dist"))
    return {r.name.lower() for r in found if not r.marker or r.marker.evaluate({"extra": extra})}


def test_the_base_brings_neither_napari_nor_qt(wheel):
    base = required(wheel)
    bindings = {"pyqt5", "pyqt6", "pyside2", "pyside6"}
    window = {"napari", "magicgui", "qtpy", "superqt", "pyqtgraph"}
    assert not base & (window | bindings | {"mamba-ssm", "torchvision"})
    assert {"torch", "scikit-image", "tifffile"} <= base
    assert required(wheel, "napari") == base | window
    # Its own name: the extra `all` contains the extra `napari`.
    assert {"napari-seglite", "pyqt6"} <= required(wheel, "all")
    assert "pyqt6" not in required(wheel, "all-pyside6") >= {"pyside6-essentials"}
    assert "mamba-ssm" in required(wheel, "mamba") or sys.platform != "linux"


ABSENT = ("napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "vispy", "PyQt6", "PySide6")
LEAN = """
import sys
for name in sys.argv[1].split():
    sys.modules[name] = None  # as where it is not installed
from napari_seglite.cli import main

for words in sys.argv[2:]:
    print("--", words.split()[0], file=sys.stderr)
    assert main(words.split()) == (words == "demo"), words
"""


@pytest.mark.slow
def test_every_command_runs_without_napari_and_qt(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(20, 5, (64, 64)).astype(np.float32)
    image[8:30, 8:30] += 100
    for name, pixels in {"images": image, "truth": np.uint8(image > 70)}.items():
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "cells.tif", pixels)
    start = "--checkpoint general-unet-sharp --device cpu"
    commands = (
        "networks",
        "checkpoints",
        f"segment images/cells.tif {start} --output out",
        "evaluate --predictions out --labels truth --distances --instances",
        "export out/cells_labels.tif --output out --rois --coco --table",
        f"fine-tune --images images --labels truth {start} --name mine --steps 1 --patch 32 "
        "--batch 1 --keep-unimproved",
        "doctor --checkpoints",
        "demo",
    )
    done = subprocess.run(
        [sys.executable, "-c", LEAN, " ".join(ABSENT), *commands],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for written in ("cells_labels.tif", "cells_rois.zip", "coco.json", "cells_objects.csv"):
        assert (tmp_path / "out" / written).is_file()
    said = done.stderr.split("-- ")
    demo = said.pop()
    assert demo.startswith("demo\nseglite: The demo's window needs napari, qtpy, ")
    assert "pip install 'napari-seglite[all]'" in demo
    # No library says anything; only training tells its progress.
    assert [each for each in said if each.count("\n") > 1 and "Compiling" not in each] == [
        each for each in said if each.startswith("fine-tune")
    ]


def test_qt_stays_out_of_the_engine():
    code = (
        "import sys, napari_seglite.cli, napari_seglite.inference.segmenter,"
        " napari_seglite.training.fine_tuner, napari_seglite.formats.read_write\n"
        "napari_seglite.cli.build_parser()\n"
        "print([m for m in sys.modules if m.partition('.')[0] in"
        " ('qtpy', 'napari', 'PyQt6', 'PySide6', 'magicgui', 'torch', 'monai')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
