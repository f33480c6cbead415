"""Several programs and one project: one writes, the others are told who it is."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from napari_seglite.annotation import (
    AnnotationProject,
    Autosave,
    ProjectImage,
    ProjectInUse,
    ProjectMoved,
    lock,
)
from napari_seglite.cli import main
from napari_seglite.images import Corrections, ImageAxes, account

HOLDER = """
import sys
from pathlib import Path
from napari_seglite.annotation import AnnotationProject
project = AnnotationProject.open(Path(sys.argv[1]), create=True)
print("open", flush=True)
sys.stdin.read()
project.close()
"""


@pytest.fixture
def holder(tmp_path):
    """Return a program that has a project open."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "project")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


@pytest.fixture
def project(tmp_path):
    project = AnnotationProject.open(tmp_path / "project", create=True)
    yield project
    project.close()


def test_another_program_is_named(holder, tmp_path):
    with pytest.raises(ProjectInUse, match=f"{account()} on .*, since 20"):
        AnnotationProject.open(tmp_path / "project")
    holder.communicate("")
    AnnotationProject.open(tmp_path / "project").close()
    assert not (tmp_path / "project" / "owner.json").exists()


def test_a_command_is_kept_out_and_ends_with_a_sentence(holder, tmp_path, capsys):
    folder = str(tmp_path / "project")
    assert (
        main(["fine-tune", "--checkpoint", "nuclei-s-net", "--project", folder, "--name", "n"]) == 1
    )
    assert "open in another window" in capsys.readouterr().err


def test_without_its_lock_the_owner_is_asked(holder, tmp_path):
    (tmp_path / "project" / "lock").unlink()
    with pytest.raises(ProjectInUse):
        AnnotationProject.open(tmp_path / "project")


def test_a_lock_is_made_again(project):
    for names in (["lock"], ["owner.json"], ["lock", "owner.json"]):
        for name in names:
            (project.folder / name).unlink()
        project.check()
        with pytest.raises(ProjectInUse):
            AnnotationProject.open(project.folder)


def test_whoever_lost_the_lock_writes_nothing_more(project):
    for name in ("lock", "owner.json"):
        (project.folder / name).unlink()
    other = AnnotationProject.open(project.folder)
    with pytest.raises(ProjectMoved, match="opened by"):
        project.save_index()
    other.check()  # the rightful owner stays it
    project.close()
    with pytest.raises(ProjectInUse):
        AnnotationProject.open(project.folder)
    other.close()


def owned(folder, **fields):
    """Write an owner's file of another computer, a while ago."""
    owner = vars(lock.Owner.here()) | {"host": "microscope-pc", "user": "ada", "file": 1} | fields
    (folder / "owner.json").write_text(json.dumps(owner))


def test_a_project_on_a_network_folder(tmp_path):
    folder = tmp_path / "project"
    AnnotationProject.open(folder, create=True).close()
    owned(folder)
    with pytest.raises(ProjectInUse, match="ada on microscope-pc"):
        AnnotationProject.open(folder)
    long_ago = time.time() - 2 * lock.DEAD
    os.utime(folder / "owner.json", (long_ago, long_ago))
    project = AnnotationProject.open(folder)
    assert "left open by ada on microscope-pc" in project.notices[0]
    project.close()


@pytest.mark.parametrize("blob", [b"", b"{}", b"\xff", b"[" * 5000, b'{"host": 5}'])
def test_an_odd_owner_is_nobody(tmp_path, blob):
    folder = tmp_path / "project"
    AnnotationProject.open(folder, create=True).close()
    (folder / "owner.json").write_bytes(blob)
    AnnotationProject.open(folder).close()


def test_signs_of_life(project, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0)
    owner = project.folder / "owner.json"
    os.utime(owner, (1, 1))
    project.check()
    assert owner.stat().st_mtime > 1e9


def test_of_many_that_open_at_once_one_succeeds(tmp_path):
    folder = tmp_path / "project"
    AnnotationProject.open(folder, create=True).close()
    for _ in range(10):
        barrier, opened, refused = threading.Barrier(6), [], []

        def attempt(barrier=barrier, opened=opened, refused=refused):
            barrier.wait()
            try:
                opened.append(AnnotationProject.open(folder))
            except ProjectInUse as error:
                refused.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == 1
        assert len(refused) == 5
        opened[0].close()


def test_a_folder_that_is_replaced_is_another_one(tmp_path):
    told = []
    project = AnnotationProject.open(tmp_path / "project", create=True)
    labels = np.zeros((60, 50), np.uint8)
    image = ProjectImage("a", "a", "", ImageAxes("YX"), Corrections((1, 60, 50)), (60, 50))
    project.add(image, labels)
    saver = Autosave(project, told.append, delay=0)
    saver.watch(image, lambda: labels)
    shutil.move(project.folder, tmp_path / "moved")
    AnnotationProject.open(tmp_path / "project", create=True).close()
    labels[3, 3] = 1
    saver.labels_changed(image, (3, 3), (4, 4))
    saver.flush()
    assert "moved or deleted" in told[0]
    assert saver.unsaved == ["a"]
    assert "moved or deleted" in saver.close()
    project.close()
    other = AnnotationProject.open(tmp_path / "project")
    assert other.images == {}
    other.close()
    AnnotationProject.open(tmp_path / "moved").close()
