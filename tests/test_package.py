"""The wheel that users install holds everything and is a valid plugin."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


def test_base_requirements_bring_no_qt_binding():
    from importlib.metadata import requires

    base = [r for r in requires("napari-seglite") or [] if "extra ==" not in r]
    assert any(r.startswith("napari>=") for r in base)
    for word in ("napari[", "pyqt5", "pyqt6", "pyside", "mamba", "torchvision"):
        assert not [r for r in base if word in r.lower()]
    assert not [r for r in base if r.startswith("napari>=") and "<" in r]


def test_qt_stays_out_of_the_engine():
    code = (
        "import sys, napari_seglite.cli, napari_seglite.inference.segmenter,"
        " napari_seglite.training.fine_tuner, napari_seglite.formats.read_write\n"
        "napari_seglite.cli.build_parser()\n"
        "print([m for m in sys.modules if m.partition('.')[0] in"
        " ('qtpy', 'napari', 'PyQt6', 'PySide6', 'magicgui', 'torch', 'monai')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
