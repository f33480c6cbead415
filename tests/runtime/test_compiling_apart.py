"""Kernels are compiled in a process of their own, and found on the disk afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_seglite.errors import Cancelled
from napari_seglite.labels import separation_kernels
from napari_seglite.runtime import Kernels, apart, compile_apart, never, wait_for_kernels

ROOT = Path(__file__).parents[2]
# Tells what is missing before and after, and whether this process has compiled anything itself.
SEPARATION = """
import json
from napari_seglite.labels import separation_kernels, watershed
from napari_seglite.runtime import compile_apart, never, wait_for_kernels

kernels = separation_kernels(True)
before, first = kernels.missing(), compile_apart(kernels)
same = compile_apart(kernels) is first
wait_for_kernels(kernels, never)
own = bool(watershed.split_on_levels.signatures)
print(json.dumps([before, same, kernels.missing(), own, compile_apart(kernels) is None]))
"""


def test_a_process_compiles_what_objects_are_separated_by(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SEPARATION]
    printed = subprocess.check_output(command, text=True, env=environment)
    assert json.loads(printed) == [True, True, False, False, True]
    kernels = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")}
    assert {"watershed.measure", "watershed.split_on_levels", "watershed.raise_each"} <= kernels


def test_waiting_ends_when_the_user_stops_it():
    slow = Kernels("import time; time.sleep(60)", lambda: True)
    with pytest.raises(Cancelled):
        wait_for_kernels(slow, lambda: True)
    process = compile_apart(slow)
    assert process is not None
    assert process.poll() is None  # it goes on for later jobs
    process.kill()
    process.wait()


def test_nothing_is_started_for_what_is_there_or_cannot_start(monkeypatch):
    assert compile_apart(Kernels("raise SystemExit", lambda: False)) is None
    monkeypatch.setattr(sys, "executable", "/opt/seglite/seglite")
    with pytest.raises(OSError, match="no Python interpreter"):
        apart.start("pass")
    unknown = Kernels("pass", lambda: True)
    assert compile_apart(unknown) is None
    wait_for_kernels(unknown, never)  # left to the first call


def test_a_failing_process_leaves_the_work_to_the_first_call():
    failing = Kernels("raise SystemExit(3)", lambda: True)
    wait_for_kernels(failing, never)
    assert compile_apart(failing).returncode == 3


@pytest.mark.parametrize("levels", [False, True])
def test_warming_up_runs_all_that_separates(levels):
    from napari_seglite.labels import separation

    separation.warm_up(levels)
    assert not separation_kernels(levels).missing()
