"""Compiled code is kept wherever it can be; where it cannot, one notice says so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seglite.widgets import sample_data

ROOT = Path(__file__).parents[2]
NOBODY = 65534
pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")

FUNCTION = """
from src_models.compiled import compiled

@compiled
def double(x):
    return 2 * x
"""

# The user who owns the folders takes them away one after the other.
FOLDERS = """
import importlib, os, pathlib, stat, sys, warnings
warnings.simplefilter("always")
import function
from src_models import compiled

package, home, temporary = (pathlib.Path(name).absolute() for name in ("package", "home", "tmp"))

def kept(**environment):
    "Compile as a new process does, and return the folder, whether the code was there, and notices."
    os.environ.update(environment)
    compiled.cache_folder.cache_clear()
    compiled._warn.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        double = importlib.reload(function).double
        before = compiled.is_compiled(double)
        assert double(21) == 42
    folder = double.stats.cache_path
    assert compiled.is_compiled(double)
    return folder and pathlib.Path(folder), before, [str(each.message) for each in told]

assert kept() == (package / "__pycache__", False, [])
assert kept() == (package / "__pycache__", True, [])
(package / "__pycache__").chmod(0o555)
package.chmod(0o555)
folder, before, told = kept()
assert folder.is_relative_to(home) and not before and not told, (folder, told)
folder, before, told = kept(HOME="/nonexistent")
private = folder.parent
assert private.parent == temporary and not before and not told, (folder, told)
assert stat.S_IMODE(private.stat().st_mode) == 0o700
assert kept() == (folder, True, [])

# What lies in a folder is run as it is, so one that others can write, or put there, is not used.
private.chmod(0o770)
folder, before, (told,) = kept()
assert folder is None and not before
assert told.startswith("Compiled code cannot be stored") and "NUMBA_CACHE_DIR" in told, told
private.rename(temporary / "another")
private.symlink_to(temporary / "another")
assert kept()[0] is None
private.unlink()
temporary.chmod(0o555)
assert kept()[0] is None
compiled.config.CACHE_DIR = str(home)
folder, before, told = kept()
assert folder.is_relative_to(home) and not told, (folder, told)
"""

# Of a full disk and of files that a crash damaged: the function gives its result all the same.
FILES = """
import importlib, pathlib, resource, warnings
import function
from src_models import compiled

def kept():
    compiled._warn.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        double = importlib.reload(function).double
        assert double(21) == 42
    return [str(each.message) for each in told]

limits = resource.getrlimit(resource.RLIMIT_FSIZE)
compiled.cache_folder(pathlib.Path("package").absolute())
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
(told,) = kept()
assert told.startswith("Compiled code cannot be stored"), told
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
assert kept() == []
files = [path for path in pathlib.Path("package/__pycache__").glob("*.nb?")]
assert len(files) == 2, files
for path in files:
    path.write_bytes(path.read_bytes()[:30])
assert kept() == []
assert all(path.stat().st_size > 30 for path in files)
"""

# All that a container or a cluster lets its user write is the output.
ENGINE = """
import os, sys
from napari_seglite.cli import main

assert main(sys.argv[1].split()) == 0
train = sys.argv[2].split()
print("training", file=sys.stderr)
assert main(train) == 1
print("elsewhere", file=sys.stderr)
os.environ["SEGLITE_DATA"] = sys.argv[3]
assert main(train) == 0

import numpy as np
from napari_seglite.labels import watershed
from src_models.selective_scan import kernels
sizes, *_ = watershed.measure(np.array([[[1, 0, 2, 2]]]), 2)  # the rest takes 10 s and is alike
assert list(sizes) == [1, 2]
print(watershed.measure.stats.cache_path, kernels.forward.stats.cache_path, sep="\\n")
"""


@pytest.fixture
def computer(tmp_path):
    """Return a folder with a package, a home, and a folder for temporary files."""
    for name in ("package", "home", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "package" / "function.py").write_text(FUNCTION)
    yield tmp_path
    for folder in [tmp_path, *tmp_path.rglob("*")]:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)


def another_user():
    """Return the beginning of a command that runs as a user who may read everything."""
    if os.geteuid() != 0:
        return []  # permissions stop everybody but root
    capability = "+dac_read_search"  # Python may be installed in root's home
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root cannot run a program as another user here")
    return command


def run(program, computer, package, *arguments):
    """Run a program as another user in the folder of a computer."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_", "SEGLITE_"))}
    path = os.pathsep.join(map(str, (package, ROOT)))
    folders = {"HOME": str(computer / "home"), "TMPDIR": str(computer / "tmp")}
    variables = {**kept, **folders, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*another_user(), sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=variables, cwd=computer, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def give(*folders):
    """Let the other user own folders."""
    for folder in folders:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)


@pytest.mark.parametrize("program", [FOLDERS, FILES])
def test_code_is_kept_where_it_can_be_and_in_memory_otherwise(computer, program):
    give(computer / "package", computer / "home", computer / "tmp")
    run(program, computer, computer / "package")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give folders away")
def test_a_temporary_folder_of_somebody_else_is_not_used(computer):
    theirs = computer / "tmp" / f"seglite-compiled-{NOBODY}"
    theirs.mkdir()
    theirs.chmod(0o777)
    theirs.parent.chmod(0o1777)
    told = run("import function; print(function.double(21))", computer, computer / "package")
    assert told.stdout.strip() == "42"
    assert "Compiled code cannot be stored" in told.stderr


@pytest.mark.slow
def test_a_user_without_a_home_segments_and_is_told_where_training_cannot_write(computer):
    installed, out = computer / "installed", computer / "out"
    for name in ("napari_seglite", "src_models"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, installed / name, ignore=ignore)
    image = sample_data.load("fluorescence")[0][:96, :128]
    for name, pixels in {"images": image, "truth": (image > image.mean()).astype(np.uint8)}.items():
        (computer / name).mkdir()
        tifffile.imwrite(computer / name / "cells.tif", pixels)
    out.mkdir()
    give(out, computer / "tmp")
    for folder in (computer, computer / "home", *filter(Path.is_dir, installed.rglob("*"))):
        folder.chmod(0o555)

    start = "--checkpoint general-unet-sharp --device cpu"
    segment = f"segment images/cells.tif {start} --output out"
    train = f"fine-tune --images images --labels truth {start} --name mine --steps 1 --patch 32"
    train += " --batch 1 --keep-unimproved"
    done = run(ENGINE, computer, installed, segment, train, str(out / "data"))
    labels, checkpoint, *folders = done.stdout.splitlines()
    assert (labels, checkpoint) == (str(Path("out", "cells_labels.tif")), "mine")
    assert tifffile.imread(out / "cells_labels.tif").max() == 1
    assert (out / "data" / "checkpoints" / "mine" / "card.json").is_file()
    private = computer / "tmp" / f"seglite-compiled-{os.geteuid() or NOBODY}"
    assert {Path(folder).parent for folder in folders} == {private}
    assert list(Path(folders[0]).glob("watershed.measure-*.nbc"))

    said = done.stderr.splitlines()
    assert said[0] == "training"  # the segmentation said nothing
    (told,) = said[1 : said.index("elsewhere")]
    assert told.startswith(f"seglite: Checkpoint mine cannot be written in {computer / 'home'}")
    assert "SEGLITE_DATA" in told


def test_every_compiled_function_keeps_its_code_in_this_way():
    """Numba's own `cache` raises where neither the package nor the home can be written."""
    for folder in ("napari_seglite", "src_models"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"\bn?jit\(.*\bcache=", path.read_text("utf-8")), path
