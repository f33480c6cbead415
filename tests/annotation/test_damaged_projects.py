"""Projects that were damaged, or made to do damage: opened with what is whole, and told."""

import json
import os
import random
import shutil
import struct
import zlib

import numpy as np
import pytest
import zarr

from napari_seglite.annotation import AnnotationProject, ProjectImage, examine
from napari_seglite.annotation.journal import _HEAD, Journal, Tile, _pack
from napari_seglite.errors import AnnotationError, SegliteError
from napari_seglite.images import Box, Corrections, ImageAxes


def entry(name="a", shape=(1, 300, 300)):
    return ProjectImage(name, name, "", ImageAxes("YX"), Corrections(shape))


def made(folder, names=("a",), strokes=0):
    """Return the folder of a project that was left without closing it."""
    project = AnnotationProject.open(folder, create=True)
    for name in names:
        image = entry(name)
        image.corrections = image.corrections.complete(0, Box(0, 0, 40, 40), by="")
        project.add(image, np.full((300, 300), 9, np.uint8))
    for k in range(strokes):
        project.append([Tile(names[0], (40 * k, 0), np.full((40, 40), k + 1, np.uint8))])
    project.abandon()
    return folder


def opened(folder):
    """Open and close a project; return it."""
    project = AnnotationProject.open(folder)
    project.close()
    return project


def change(folder, **fields):
    """Change fields of the first image in the index."""
    index = json.loads((folder / "project.json").read_text())
    index["images"][0].update(fields)
    (folder / "project.json").write_text(json.dumps(index))


def everything(folder):
    """Return the content of all files of a folder, and its links."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


# ------------------------------------------------------------------ nothing outside is touched
@pytest.fixture
def outside(tmp_path):
    """Return a folder with somebody else's files, among them labels."""
    folder = tmp_path / "Documents"
    group = zarr.create_group(folder / "labels.zarr")
    group.create_array("0", shape=(300, 300), dtype="u1", chunks=(256, 256))[:] = 9
    (folder / "thesis.txt").write_text("years of work")
    return folder


def remove_all(folder):
    """Open a project and take every image out of it; return what is said of it."""
    try:
        project = AnnotationProject.open(folder)
    except AnnotationError as error:
        return str(error)
    told = " ".join(project.damaged.values())
    for key in [*project.images, *project.damaged]:
        project.remove(key)
    project.close()
    return told


def odd_paths(outside):
    yield from ("../../Documents", str(outside), "..", ".", "", "a/../../../Documents", "a\0b")
    yield from ("../Documents/labels.zarr", "a\n", "-rf", "x" * 300, "..\\..\\Documents", "/")
    letters = random.Random(0)
    for _ in range(60):
        yield "".join(letters.choices("./\\ab~$\0 :", k=letters.randrange(1, 12)))


@pytest.mark.parametrize("field", ["key", "labels"])
def test_an_index_cannot_lead_out_of_its_folder(tmp_path, outside, field):
    folder = made(tmp_path / "project", strokes=1)
    wide = Tile("a", (0, 0), np.full((40, 40), 70_000, np.uint32))
    before = everything(outside)
    for value in odd_paths(outside):
        change(folder, **{field: value})
        Journal(folder / "journal.bin").append([Tile(value, (0, 0), wide.pixels), wide])
        if "project.json" not in remove_all(folder):  # it is a name that a folder may have
            shutil.rmtree(folder)
            made(folder, strokes=1)
        assert everything(outside) == before, value


@pytest.mark.parametrize(
    "link", ["images", "images/a", "images/a/labels.zarr", "images/a/labels.zarr/0", "journal.bin"]
)
def test_links_do_not_lead_out(tmp_path, outside, link):
    folder = made(tmp_path / "project", strokes=1)
    target = outside / ("thesis.txt" if link == "journal.bin" else "labels.zarr")
    place = folder / link
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(target)
    before = everything(outside)
    assert "is a link" in remove_all(folder)
    assert everything(outside) == before


# ------------------------------------------------------------------ the journal
def test_a_flipped_byte_costs_one_stroke_and_is_told(tmp_path):
    base = made(tmp_path / "base", strokes=4)
    blob = (base / "journal.bin").read_bytes()
    for place in range(0, len(blob), 7):
        folder = tmp_path / "copy"
        shutil.copytree(base, folder)
        damaged = bytearray(blob)
        damaged[place] ^= 0xFF
        (folder / "journal.bin").write_bytes(damaged)
        project = opened(folder)
        labels = project.labels("a")[:]
        found = [k for k in range(4) if (labels[40 * k : 40 * k + 40, :40] == k + 1).all()]
        assert len(found) == 3, place
        assert "damaged in 1 place" in project.notices[0], place
        assert (folder / "journal-damaged-1.bin").read_bytes() == damaged
        shutil.rmtree(folder)


def test_only_what_was_being_written_is_missing_from_a_cut_journal(tmp_path):
    base = made(tmp_path / "base", strokes=3)
    blob = (base / "journal.bin").read_bytes()
    journal = Journal(tmp_path / "journal.bin")
    ends, at = [], 0
    while at < len(blob):
        _, header, body, _ = struct.unpack_from("<4sIII", blob, at)
        at += 16 + header + body
        ends.append(at)
    for cut in range(len(blob)):
        journal.path.write_bytes(blob[:cut])
        content = journal.read()
        assert len(content.tiles) == sum(end <= cut for end in ends)
        assert content.damaged == 0, cut


def record(about, body):
    header = json.dumps(about).encode()
    return _HEAD.pack(b"SEGL", len(header), len(body), zlib.crc32(header + body)) + header + body


WHOLE = {"image": "a", "corner": [0, 0], "shape": [40, 40], "dtype": "|u1"}
ODD_RECORDS = {
    "outside": ({**WHOLE, "corner": [290, 290]}, bytes(1600)),
    "before": ({**WHOLE, "corner": [-10, 0]}, bytes(1600)),
    "deeper": ({**WHOLE, "corner": [0, 0, 0], "shape": [1, 40, 40]}, bytes(1600)),
    "objects": ({**WHOLE, "dtype": "|O"}, bytes(1600)),
    "floats": ({**WHOLE, "shape": [20, 10], "dtype": "<f8"}, bytes(1600)),
    "stranger": ({**WHOLE, "image": "../../x"}, bytes(1600)),
    "nobody": ({"corner": [0, 0], "shape": [40, 40], "dtype": "|u1"}, bytes(1600)),
    "too few": ({**WHOLE, "shape": [41, 40]}, bytes(1600)),
    "a bomb": (WHOLE, bytes(400_000_000)),
    "huge": ({**WHOLE, "shape": [40_000, 40_000]}, bytes(1600)),
    "a list": ([1], bytes(1600)),
}


@pytest.mark.parametrize("odd", ODD_RECORDS)
def test_odd_records_are_skipped(tmp_path, odd):
    folder = made(tmp_path / "project", strokes=2)
    about, pixels = ODD_RECORDS[odd]
    with (folder / "journal.bin").open("ab") as file:
        file.write(record(about, zlib.compress(pixels)))
        file.write(_pack(Tile("a", (200, 200), np.full((5, 5), 77, np.uint8))))
    project = opened(folder)
    labels = project.labels("a")[:]
    assert (labels[200:205, 200:205] == 77).all()
    assert (labels[:40, :40] == 1).all()
    assert project.notices
    assert {path.parent for path in tmp_path.rglob("journal-*")} == {folder}


# ------------------------------------------------------------------ one bad image
def garble(folder, how):
    labels = folder / "images" / "a" / "labels.zarr"
    metadata = labels / "0" / "zarr.json"
    if how == "gone":
        shutil.rmtree(labels)
    elif how == "no metadata":
        metadata.unlink()
    elif how == "garbled":
        metadata.write_bytes(b"\xff\xfe garbage")
    elif how == "deep":
        metadata.write_text("[" * 100_000)
    elif how == "other shape":
        shutil.rmtree(labels / "0")
        zarr.open_group(labels).create_array("0", shape=(3, 3), dtype="u1")
    elif how == "floats":
        shutil.rmtree(labels / "0")
        zarr.open_group(labels).create_array("0", shape=(300, 300), dtype="f4")


DAMAGE = ["gone", "no metadata", "garbled", "deep", "other shape", "floats"]


@pytest.mark.parametrize("how", DAMAGE)
def test_one_bad_image_locks_no_other(tmp_path, how):
    folder = made(tmp_path / "project", ("a", "b"), strokes=2)
    Journal(folder / "journal.bin").append([Tile("b", (0, 0), np.full((9, 9), 4, np.uint8))])
    garble(folder, how)
    project = opened(folder)
    assert list(project.images) == ["b"]
    assert (project.labels("b")[:9, :9] == 4).all()
    assert "labels of a" in project.damaged["a"]
    assert any("doctor" in notice for notice in project.notices)
    again = opened(folder)  # still listed, still kept
    assert list(again.damaged) == ["a"]

    (finding,) = examine(folder)
    assert not finding.repaired
    assert list(opened(folder).damaged) == ["a"]
    (finding,) = examine(folder, repair=True)
    assert finding.repaired
    assert examine(folder) == []
    repaired = opened(folder)
    assert repaired.damaged == {}
    labels = repaired.labels("a")[:]
    for k in range(2):  # what was painted last comes from the journal
        assert (labels[40 * k : 40 * k + 40, :40] == k + 1).all()
    whole = how in ("no metadata", "garbled", "deep")
    assert (labels[100:, 100:] == (9 if whole else 0)).all()
    assert bool(repaired.images["a"].corrections.regions) == whole


def test_a_chunk_that_cannot_be_read_costs_its_own_pixels(tmp_path):
    folder = made(tmp_path / "project")
    chunk = folder / "images" / "a" / "labels.zarr" / "0" / "c" / "0" / "1"
    chunk.write_bytes(b"no zstd")
    (finding,) = examine(folder, repair=True)
    assert "1 parts" in finding.text
    project = opened(folder)
    labels = project.labels("a")[:]
    assert (labels[:256, 256:] == 0).all()
    assert (labels[:256, :256] == 9).all()
    assert (labels[256:] == 9).all()
    assert project.images["a"].corrections.regions  # they lie in another chunk
    assert examine(folder) == []


# ------------------------------------------------------------------ the index
def test_an_earlier_index_is_restored(tmp_path):
    folder = made(tmp_path / "project", ("a", "b"))
    opened(folder)
    (folder / "project.json").write_text("{")
    with pytest.raises(AnnotationError, match=r"project\.json cannot be read"):
        AnnotationProject.open(folder)
    (finding,) = examine(folder, repair=True)
    assert "earlier" in finding.remedy
    project = opened(folder)
    assert list(project.images) == ["a", "b"]
    assert project.images["a"].corrections.regions
    assert (folder / "project-damaged.json").read_text() == "{"


def test_without_any_index_the_labels_are_found(tmp_path):
    folder = made(tmp_path / "project", ("a", "b"), strokes=1)
    (folder / "project.json").unlink()
    with pytest.raises(AnnotationError):
        AnnotationProject.open(folder, create=True)
    examine(folder, repair=True)
    project = opened(folder)
    assert sorted(project.images) == ["a", "b"]
    labels = project.labels("a")[:]
    assert (labels[:40, :40] == 1).all()
    assert (labels[40:] == 9).all()


def test_three_indexes_are_kept(tmp_path):
    folder = tmp_path / "project"
    for number in range(5):
        project = AnnotationProject.open(folder, create=True)
        project.add(entry(f"n{number}"), np.zeros((300, 300), np.uint8))
        project.close()
    AnnotationProject.open(folder).close()
    kept = [json.loads((folder / f"project.{k}.json").read_text()) for k in (1, 2, 3)]
    assert [len(index["images"]) for index in kept] == [5, 4, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"corrections": None},
        {"corrections": {"mode": "dense", "shape": [1, 300, 300], "regions": [1]}},
        {"corrections": {"mode": "dense", "shape": [1, 300, 300], "regions": [{}]}},
        {"corrections": {"mode": "future", "shape": [1, 300, 300], "regions": []}},
        {"corrections": {"mode": "dense", "shape": [1, 20, 20], "regions": []}},
        {"axes": "QQ"},
        {"axes": 3},
        {"shape": "abc"},
        {"shape": [300, 10**12]},
        {"spacing": None},
        {"spacing": [float("nan"), 1]},
        {"key": 5},
        {"unit": 4},
        {"path": 4},
        {"channels": [-1]},
    ],
)
def test_odd_values_are_one_sentence(tmp_path, fields):
    folder = made(tmp_path / "project", strokes=1)
    change(folder, **fields)
    with pytest.raises(SegliteError) as error:
        AnnotationProject.open(folder)
    assert "project.json" in str(error.value)
    assert "\n" not in str(error.value)
    assert (folder / "journal.bin").exists()
    change(folder, key="a")
    AnnotationProject.open(made(tmp_path / "other")).close()  # and no lock is left behind


def mutated(value, rng):
    """Return JSON data with something in it replaced by something odd."""
    odd = [None, -1, 0, 10**30, 1.5, "", "../../Documents", "x" * 5000, [], {}, [[]], True, "\0"]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        number = rng.randrange(len(value))
        return [*value[:number], mutated(value[number], rng), *value[number + 1 :]]
    return rng.choice(odd)


def test_any_index_is_read_or_refused(tmp_path, outside):
    base = made(tmp_path / "base", ("a", "b"), strokes=2)
    before, index = everything(outside), json.loads((base / "project.json").read_text())
    rng, refused = random.Random(1), 0
    for number in range(150):
        folder = tmp_path / "copy"
        shutil.copytree(base, folder)
        odd = index
        for _ in range(1 + number % 3):
            odd = mutated(odd, rng)
        (folder / "project.json").write_text(json.dumps(odd))
        refused += "project.json" in remove_all(folder)
        shutil.rmtree(folder)
    assert refused > 50
    assert everything(outside) == before


def test_any_metadata_of_labels_is_read_or_refused(tmp_path):
    base = made(tmp_path / "base", ("a", "b"))
    blob = (base / "images" / "a" / "labels.zarr" / "0" / "zarr.json").read_bytes()
    rng = random.Random(2)
    for _ in range(60):
        folder = tmp_path / "copy"
        shutil.copytree(base, folder)
        damaged = bytearray(blob)
        damaged[rng.randrange(len(blob))] = rng.randrange(256)
        (folder / "images" / "a" / "labels.zarr" / "0" / "zarr.json").write_bytes(damaged)
        project = opened(folder)
        assert "b" in project.images
        assert sorted([*project.images, *project.damaged]) == ["a", "b"]
        shutil.rmtree(folder)
