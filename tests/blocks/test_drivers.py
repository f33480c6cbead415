"""Processes on this computer, a Dask cluster, parts of a job array, and the shell."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_seglite import cli, segment
from napari_seglite.blocks import (
    Blocks,
    DaskCluster,
    Ledger,
    LocalProcesses,
    array_script,
    prepare,
    run,
)
from napari_seglite.errors import SegliteError
from napari_seglite.formats import read_labels

BLOCKS = Blocks(64, overlap=32)


@pytest.fixture
def request_(request_of):
    return request_of(output="instances", min_size=15)


@pytest.fixture
def words(image_path):
    """Return the words of a command that segments the image as `objects` were."""
    words = f"segment {image_path} --checkpoint nuclei-unet-sharp-tiny --device cpu --instances"
    words += " --min-size 15 --tile 64 --overlap 16 --runtime torch"
    return [*words.split(), "--block", "64", "--block-overlap", "32"]


def test_four_processes_of_which_one_is_killed(image_path, request_, objects, tmp_path):
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    killed = False
    for progress in run(ledger, LocalProcesses(4, threads=1)):
        if not killed and progress.done == 2:
            import psutil

            children = psutil.Process().children()
            workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
            workers[0].kill()
            killed = True
    assert killed
    np.testing.assert_array_equal(read_labels(ledger.place), objects)


@pytest.mark.slow
def test_a_dask_cluster_of_which_a_worker_is_killed(image_path, request_, objects, tmp_path):
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 4, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**settings, resources={"NET": 1}) as cluster,
        distributed.Client(cluster) as client,
    ):
        ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
        steps = run(ledger, DaskCluster(client, {"NET": 1}))
        next(steps)
        pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGTERM)
        for _ in steps:
            pass
        np.testing.assert_array_equal(read_labels(ledger.place), objects)
        out = segment(
            image_path, request_, output=tmp_path / "b.zarr", client=client, blocks=BLOCKS
        )
    np.testing.assert_array_equal(read_labels(out), objects)


def test_parts_of_an_array_then_merge(words, objects, tmp_path, capsys):
    out = str(tmp_path / "a.zarr")
    command = [*words, "--output", out]
    assert cli.main([*command, "--part", "1/2"]) == 1
    assert "once with --plan" in capsys.readouterr().err
    assert cli.main([*command, "--plan"]) == 0
    assert "16 blocks" in capsys.readouterr().out
    assert cli.main([*command, "--part", "2/2"]) == 0
    assert cli.main(["merge", out]) == 1
    assert "8 of 16 units of the step segment are not done" in capsys.readouterr().err
    assert cli.main(["merge", out, "--step", "segment", "--part", "1/2"]) == 0
    assert cli.main(["merge", out, "--step", "link", "--part", "1/1"]) == 0
    assert cli.main(["merge", out]) == 0
    np.testing.assert_array_equal(read_labels(out), objects)
    assert cli.main([*command, "--workers", "1"]) == 0  # it is all there
    assert cli.main([*command, "--workers", "1", "--threshold", "0.7"]) == 1
    assert "differs in: threshold" in capsys.readouterr().err


def test_a_folder_for_the_labels_and_classes_without_merging(image_path, words, tmp_path):
    classes = [word if word != "--instances" else "--semantic" for word in words]
    classes[classes.index("15")] = "0"
    assert cli.main([*classes, "--output", str(tmp_path), "--workers", "1"]) == 0
    labels = read_labels(tmp_path / "cells_labels.zarr")
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1}
    assert Ledger(str(tmp_path / "cells_labels.zarr")).counts() == {"objects": 0}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--uncertainty"], "need the whole image"),
        (["--format", "tif"], "OME-Zarr"),
        (["--dask", "tcp://127.0.0.1:1", "--dask-resources", "GPU"], "GPU=1"),
    ],
)
def test_options_that_do_not_fit_are_told_in_a_sentence(words, tmp_path, capsys, more, sentence):
    out = str(tmp_path / "a.zarr")
    command = [*words, "--output", out, *more]
    assert cli.main(command if "--dask" in more else [*command, "--workers", "2"]) == 1
    assert sentence in capsys.readouterr().err


def test_slurm_without_sbatch_leaves_a_script(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    out = tmp_path / "a.zarr"
    command = [*words, "--output", str(out), "--slurm", "partition=cpu time=1:00:00"]
    assert cli.main([*command, "--parts", "3"]) == 0
    assert "There is no sbatch" in capsys.readouterr().out
    assert Ledger(str(out)).created
    text = (tmp_path / "a.zarr.slurm.sh").read_text()
    assert "--array=1-3" in text
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs on Linux")
def test_the_slurm_script_does_the_whole_job(image_path, request_, objects, tmp_path, monkeypatch):
    """An sbatch that runs every task of an array at once stands for the cluster."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        "#!/bin/sh\ncat > job.sh\nn=1\n"
        "for word in $@; do case $word in --array=1-*) n=${word#--array=1-};; esac; done\n"
        "for k in $(seq $n); do SLURM_ARRAY_TASK_ID=$k sh job.sh >> job.log 2>&1 || exit 1; done\n"
        "echo 7\n"
    )
    (folder / "sbatch").chmod(0o755)
    ledger = prepare(image_path, request_, tmp_path / "a.zarr", Blocks(128, overlap=32))
    script = array_script(ledger.place, ledger.steps(), 1, "partition=cpu gres=gpu:1")
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    found = subprocess.run(
        ["sh"], input=script, text=True, cwd=tmp_path, env=environment, capture_output=True
    )
    log = tmp_path / "job.log"
    assert found.returncode == 0, found.stderr + (log.read_text() if log.exists() else "")
    np.testing.assert_array_equal(read_labels(ledger.place), objects)


def test_no_word_of_the_options_reaches_the_shell():
    for words in ("partition=a;rm", "$(id)", "x=`id`", "a b=c>d"):
        with pytest.raises(SegliteError, match="NAME=VALUE"):
            array_script("a.zarr", ("segment",), 2, words)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_workers_end_with_the_process_that_started_them(image_path, request_, tmp_path):
    import psutil

    ledger = prepare(image_path, request_, tmp_path / "a.zarr", BLOCKS)
    code = (
        "import sys\nfrom napari_seglite.blocks import *\n"
        "if __name__ == '__main__':\n"
        "    for p in run(Ledger(sys.argv[1]), LocalProcesses(1, 1)): print(p.done, flush=True)\n"
    )
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, str(tmp_path / "script.py"), ledger.place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "1\n"
        children = psutil.Process(process.pid).children()
        process.kill()
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert gone
    assert not alive
    done = len(ledger.left("segment"))
    time.sleep(0.3)
    assert len(ledger.left("segment")) == done
