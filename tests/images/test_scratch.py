"""Temporary folders go with their array, with their process, and after a process was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_seglite.images import chunked, scratch

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds

HOLDS = """
import sys, time
from napari_seglite.images import chunked
chunked.IN_MEMORY = 0
array = chunked.zeros((4, 600, 600), "uint8")
array[:] = 1
print("ready", flush=True)
time.sleep(600 if sys.argv[1] == "wait" else 0)
"""

SEGMENTS = """
import sys
from napari_seglite.cli import main, segment
segment.IN_MEMORY = 0
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return an empty folder for temporary files, here and in processes that are started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(scratch.tempfile, "tempdir", None)
    monkeypatch.setattr(scratch, "_swept_by", 0)
    yield folder
    scratch.tempfile.tempdir = None


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)


def named(process, name="abc"):
    return f"seglite-{process}-{scratch._COMPUTER}-{name}"


def test_a_folder_goes_with_its_array_and_with_its_process(temporary, monkeypatch):
    monkeypatch.setattr(chunked, "IN_MEMORY", 0)
    array = chunked.zeros((2, 30, 30), np.uint8)
    assert [path.name.split("-")[1] for path in temporary.iterdir()] == [str(os.getpid())]
    del array
    assert not list(temporary.iterdir())
    assert start(HOLDS, "end").wait(PATIENCE) == 0
    assert not list(temporary.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_process_leaves_nothing_for_long(temporary):
    killed, alive = start(HOLDS, "wait"), start(HOLDS, "wait")
    assert [process.stdout.readline() for process in (killed, alive)] == ["ready\n"] * 2
    killed.kill()
    killed.wait(PATIENCE)
    assert len(list(temporary.iterdir())) == 2
    assert start(HOLDS, "end").wait(PATIENCE) == 0
    (left,) = temporary.iterdir()
    assert left.name.split("-")[1] == str(alive.pid)
    alive.kill()
    alive.wait(PATIENCE)


def test_only_our_own_folders_of_ended_processes_are_swept(temporary):
    finished = start("pass")
    finished.wait(PATIENCE)
    gone = finished.pid
    (temporary / named(gone)).mkdir()
    (temporary / named(gone) / "data").touch()
    elsewhere = temporary / "precious"
    elsewhere.mkdir()
    kept = [
        elsewhere,
        temporary / "seglite-abcdefgh",  # of an earlier version, which may still run
        temporary / f"seglite-{gone}-00000000-abc",  # of another computer
        temporary / f"other-{gone}-abc",
        temporary / named(os.getpid()),
    ]
    for folder in kept:
        folder.mkdir(exist_ok=True)
    (temporary / named(gone, "file")).touch()
    (temporary / named(gone, "link")).symlink_to(elsewhere)
    reused = temporary / named(os.getpid(), "old")  # written before this process began
    reused.mkdir()
    os.utime(reused, (1, 1))
    kept += [temporary / named(gone, "file"), temporary / named(gone, "link")]
    scratch.sweep()
    assert sorted(temporary.iterdir()) == sorted(kept)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_terminated_command_removes_its_temporary_files(temporary, tmp_path):
    from napari_seglite.formats import write_labels

    image = tmp_path / "large.tif"
    write_labels(image, np.random.default_rng(0).integers(0, 99, (3000, 3000)).astype(np.uint8))
    command = start(
        SEGMENTS, "segment", image, "--checkpoint", "nuclei-s-net", "--device", "cpu",
        "--output", tmp_path / "out",
    )  # fmt: skip
    end = time.monotonic() + PATIENCE
    while not list(temporary.glob("seglite-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(temporary.glob("seglite-*"))
    assert command.poll() is None
    command.send_signal(signal.SIGTERM)
    assert command.wait(PATIENCE) == 143
    assert not list(temporary.glob("seglite-*"))
    assert not list((tmp_path / "out").glob("*"))
