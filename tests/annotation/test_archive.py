"""Projects in one file, for another computer."""

import shutil
import zipfile

import numpy as np
import pytest
import tifffile

from napari_seglite.annotation import (
    AnnotationProject,
    ProjectImage,
    export_project,
    import_project,
)
from napari_seglite.cli import main
from napari_seglite.errors import AnnotationError
from napari_seglite.images import Box, Corrections, ImageAxes


@pytest.fixture
def project(tmp_path):
    """Return a project of an image with a file and one without."""
    folder = tmp_path / "secret patient"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (60, 50), np.uint8)
    tifffile.imwrite(folder / "x.tif", pixels)
    project = AnnotationProject.open(folder / "project", create=True)
    for name, path in (("file", str(folder / "x.tif")), ("none", "")):
        image = ProjectImage(name, name, path, ImageAxes("YX"), Corrections((1, 60, 50)))
        image.corrections = image.corrections.complete(0, Box(0, 0, 9, 9), "some body")
        project.add(image, np.full((60, 50), 7, np.uint8))
        if not path:
            project.store_pixels(name, pixels)
    yield project
    project.close()


@pytest.mark.parametrize("images", [True, False])
def test_it_opens_elsewhere(project, tmp_path, images):
    pixels = tifffile.imread(project.images["file"].path)
    target = export_project(project, tmp_path / "out.zip", images)
    project.close()
    with zipfile.ZipFile(target) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
        everything += " ".join(archive.namelist()).encode()
    assert b"secret patient" not in everything
    assert b"some body" not in everything
    folder = tmp_path / "elsewhere" / "project"
    import_project(target, folder)
    if not images:
        shutil.copy(tmp_path / "secret patient" / "x.tif", folder)
    shutil.rmtree(tmp_path / "secret patient")
    again = AnnotationProject.open(folder)
    assert list(again.images) == ["file", "none"]
    for key, image in again.images.items():
        assert (again.labels(key)[:] == 7).all()
        np.testing.assert_array_equal(np.asarray(again.read_pixels(key)), pixels)
        assert image.corrections.frames == [0]
    again.close()


def test_from_a_shell(project, tmp_path, capsys):
    project.close()
    target, folder = str(tmp_path / "out.zip"), str(tmp_path / "new")
    assert main(["project", "export", str(project.folder), target]) == 0
    assert main(["project", "import", target, folder]) == 0
    assert main(["doctor", "--project", folder]) == 0
    assert "all is well" in capsys.readouterr().out
    assert main(["project", "import", target, folder]) == 1
    assert "other files" in capsys.readouterr().err


def test_a_project_and_its_images_can_move_together(project, tmp_path):
    project.close()
    (tmp_path / "secret patient").rename(tmp_path / "new name")
    moved = AnnotationProject.open(tmp_path / "new name" / "project")
    assert moved.read_pixels("file").shape == (60, 50)
    moved.close()


NAMES = [
    "../x",
    "/x",
    "images/../../x",
    "images/a/..\\..\\x",
    "C:/x",
    "x",
    "images/x",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_members_are_refused(project, tmp_path, name):
    target = export_project(project, tmp_path / "out.zip")
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(name, b"evil")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AnnotationError, match=r"out\.zip"):
        import_project(target, tmp_path / "new")
    assert sorted(tmp_path.rglob("*")) == before


def test_bombs_are_refused_before_they_are_unpacked(project, tmp_path):
    target = export_project(project, tmp_path / "out.zip")
    whole = target.read_bytes()
    for name, size in (("images/a/labels.zarr/0/c/9/9", 10), ("images/a/image.tif", 2000)):
        target.write_bytes(whole)
        with (
            zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive,
            archive.open(name, "w") as file,
        ):
            for _ in range(size // 10):
                file.write(bytes(10_000_000))
        with pytest.raises(AnnotationError, match=r"out\.zip is no exported project"):
            import_project(target, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_damaged_archives_are_refused(project, tmp_path):
    target = export_project(project, tmp_path / "out.zip")
    blob = target.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(blob)
        damaged[rng.integers(len(blob))] ^= int(rng.integers(1, 255))
        target.write_bytes(damaged)
        folder = tmp_path / "new"
        try:
            import_project(target, folder)
            AnnotationProject.open(folder).close()
        except AnnotationError:
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    target.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(AnnotationError):
        import_project(target, tmp_path / "new")
    with pytest.raises(AnnotationError):
        import_project(tmp_path / "missing.zip", tmp_path / "new")
