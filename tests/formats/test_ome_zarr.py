"""OME-Zarr of every layout: what the metadata say is read, and labels lie on their image."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest
import zarr

from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    list_scenes,
    read_image,
    read_label_file,
    read_recipe,
    write_into,
    write_labels,
)
from napari_seglite.images import Grid

UM = "micrometer"


@pytest.fixture
def stack():
    """Return an image uint16 (3, 20, 30)."""
    return np.random.default_rng(0).integers(1, 4000, (3, 20, 30), np.uint16)


def axis(name, unit=None):
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


def scale(*numbers):
    return {"type": "scale", "scale": list(numbers)}


def shift(*numbers):
    return {"type": "translation", "translation": list(numbers)}


def image(group, levels, axes, steps=None, version="0.5", after=None, **more):
    """Write a multiscale image into a group, as the specification has it."""
    for k, level in enumerate(levels):
        group.create_array(str(k), data=level, chunks=tuple(min(n, 16) for n in level.shape))
    steps = steps or [[scale(*[1.0] * levels[0].ndim)]] * len(levels)
    scales = {
        "datasets": [
            {"path": str(k), "coordinateTransformations": each} for k, each in enumerate(steps)
        ]
    }
    if axes is not None:
        scales["axes"] = axes
    if after:
        scales["coordinateTransformations"] = after
    describe(group, version, multiscales=[scales], **more)


def describe(group, version, **metadata):
    if version == "0.5":
        group.attrs["ome"] = {**group.attrs.get("ome", {}), "version": version, **metadata}
    else:
        group.attrs.update(metadata)


def new(path, version="0.5"):
    return zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)


# ------------------------------------------------------------------ axes, sizes and places
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_axis_has_its_own_unit_and_place(tmp_path, stack, version):
    axes = [axis("t", "minute"), axis("z", "nanometer"), axis("y", UM), axis("x", UM)]
    steps = [[scale(3, 300, 0.1, 0.2), shift(1, 50, 7, -2)]]
    group = new(tmp_path / "a.zarr", version)
    image(group, [np.stack([stack, stack])], axes, steps, version)
    found = read_image(tmp_path / "a.zarr")
    assert found.axes.order == "TZYX"
    assert found.spacing == pytest.approx((3, 0.3, 0.1, 0.2))
    assert found.units == ("min", "um", "um", "um")
    assert found.grid.origin == pytest.approx((1, 0.05, 7, -2))


def test_transformations_are_applied_in_their_order(tmp_path, stack):
    axes = [axis("y", UM), axis("x", UM)]
    image(
        new(tmp_path / "a.zarr"), [stack[0]], axes, [[scale(2, 3), shift(1, 1)]],
        after=[scale(10, 10), shift(5, 0)],
    )  # fmt: skip
    grid = read_image(tmp_path / "a.zarr").grid
    assert (grid.spacing, grid.origin) == ((20, 30), (15, 10))
    image(new(tmp_path / "b.zarr"), [stack[0]], axes, [[shift(1, 1), scale(2, 3)]])
    assert read_image(tmp_path / "b.zarr").grid.origin == (2, 3)


@pytest.mark.parametrize("axes", [["t", "c", "z", "y", "x"], None])
def test_versions_without_descriptions_of_axes(tmp_path, stack, axes):
    group = new(tmp_path / "a.zarr", "0.3")
    group.create_array("s0", data=stack[None, None], chunks=(1, 1, 1, 8, 8))
    scales = {"datasets": [{"path": "s0"}], "version": "0.3" if axes else "0.1"}
    group.attrs["multiscales"] = [scales | ({"axes": axes} if axes else {})]
    found = read_image(tmp_path / "a.zarr")
    assert (found.axes.order, found.unit, found.guesses) == ("ZYX", "pixel", ())
    np.testing.assert_array_equal(np.asarray(found.array), stack)


@pytest.mark.parametrize("unit", ["angstrom", "parsec", "Micrometer", "µm", "furlong", "elbow"])
def test_units_of_any_spelling_are_kept(tmp_path, stack, unit):
    image(new(tmp_path / "a.zarr"), [stack[0]], [axis("y", unit), axis("x", unit)])
    found = read_image(tmp_path / "a.zarr")
    write_labels(tmp_path / "l.zarr", stack[0], grid=found.grid)
    assert read_image(tmp_path / "l.zarr").units == found.units
    names = {"µm": UM, "Micrometer": UM}
    written = json.loads((tmp_path / "l.zarr" / "zarr.json").read_text())
    axes = written["attributes"]["ome"]["multiscales"][0]["axes"]
    assert [entry["unit"] for entry in axes] == [names.get(unit, unit)] * 2


def test_a_size_that_is_none_is_said(tmp_path, stack):
    axes = [axis("z", UM), axis("y", UM), axis("x", UM)]
    image(new(tmp_path / "a.zarr"), [stack], axes, [[scale(float("nan"), 0.5, 0)]])
    found = read_image(tmp_path / "a.zarr")
    assert found.units == ("pixel", "um", "pixel")
    assert found.spacing == (1, 0.5, 1)
    assert "The file gives a pixel size of 0 along X; it is taken as unknown." in found.notices
    assert any("pixel size of nan along Z" in notice for notice in found.notices)


def test_channels_have_names(tmp_path, stack):
    axes = [axis("c"), axis("y"), axis("x")]
    display = {"channels": [{"label": name, "color": 3} for name in ("DAPI", "GFP", "RFP")]}
    image(new(tmp_path / "a.zarr"), [stack], axes, omero=display)
    assert read_image(tmp_path / "a.zarr").channels == ("DAPI", "GFP", "RFP")
    image(new(tmp_path / "b.zarr"), [stack], axes, omero={"channels": [{"label": "DAPI"}]})
    assert read_image(tmp_path / "b.zarr").channels == ()


def test_arrays_that_name_their_axes(tmp_path, stack):
    zarr.create_array(tmp_path / "a.zarr", data=stack, dimension_names=["time", "y", "x"])
    found = read_image(tmp_path / "a.zarr")
    assert (found.axes.order, found.guesses) == ("TYX", ())
    old = zarr.create_array(tmp_path / "b.zarr", data=stack, zarr_format=2)
    old.attrs["_ARRAY_DIMENSIONS"] = ["channel", "row", "column"]
    assert read_image(tmp_path / "b.zarr").axes.order == "CYX"
    zarr.create_array(tmp_path / "c.zarr", data=stack, dimension_names=["lat", "lon", "x"])
    assert read_image(tmp_path / "c.zarr").guesses == ("axes",)


# ------------------------------------------------------------------ several images
def plate(path, pixels, version):
    """Write a plate of three wells, one of them lost, with two fields in each."""
    root = new(path, version)
    wells = ["A/1", "B/3", "C/2"]
    describe(root, version, plate={"wells": [{"path": name} for name in wells]})
    for number, name in enumerate(wells[:2]):
        well = root.require_group(name)
        describe(well, version, well={"images": [{"path": "0"}, {"path": "f1"}]})
        for k, field in enumerate(("0", "f1")):
            group = well.create_group(field)
            image(group, [pixels + 2 * number + k], [axis("y", UM), axis("x", UM)], None, version)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_wells_and_fields_of_a_plate_are_images(tmp_path, stack, version):
    path = tmp_path / "plate.zarr"
    plate(path, stack[0], version)
    names = ("A/1/0", "A/1/f1", "B/3/0", "B/3/f1")
    assert list_scenes(path) == names
    found = read_image(f"{path}#B/3/f1")
    assert (found.scenes, found.scene) == (names, 3)
    np.testing.assert_array_equal(np.asarray(found.array), stack[0] + 3)
    np.testing.assert_array_equal(np.asarray(read_image(path, 3).array), stack[0] + 2)
    assert any("1 images that the metadata list are not there: C/2" in n for n in found.notices)
    assert any("image 1 of 4" in notice for notice in read_image(path).notices)
    assert list_scenes(path / "B" / "3") == ("0", "f1")
    np.testing.assert_array_equal(np.asarray(read_image(path / "B/3/0").array), stack[0] + 2)
    shutil.rmtree(path / "A" / "1" / "f1")
    with pytest.raises(ImageError, match=r"plate\.zarr: its image A/1/f1 is not there"):
        read_image(path, "A/1/f1")


@pytest.mark.parametrize("listed", [True, False])
def test_series_are_images(tmp_path, stack, listed):
    root = new(tmp_path / "a.zarr", "0.4")
    root.attrs["bioformats2raw.layout"] = 3
    names = ["main", "overview"] if listed else ["0", "1"]
    for k, name in enumerate(names):
        image(root.create_group(name), [stack[k]], [axis("y"), axis("x")], None, "0.4")
    if listed:
        root.create_group("OME").attrs["series"] = names
    assert list_scenes(tmp_path / "a.zarr") == tuple(names)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.zarr", 2).array), stack[1])


def test_several_multiscale_images_in_a_group(tmp_path, stack):
    root = new(tmp_path / "a.zarr")
    for k in range(2):
        root.create_array(f"level{k}", data=stack[k])
    scales = [
        {
            "name": name,
            "axes": [axis("y"), axis("x")],
            "datasets": [{"path": f"level{k}", "coordinateTransformations": [scale(1, 1)]}],
        }
        for k, name in enumerate(("raw", "deconvolved"))
    ]
    describe(root, "0.5", multiscales=scales)
    assert list_scenes(tmp_path / "a.zarr") == ("raw", "deconvolved")
    found = read_image(tmp_path / "a.zarr", "deconvolved")
    np.testing.assert_array_equal(np.asarray(found.array), stack[1])


def test_a_zip_file_is_read_as_its_folder(tmp_path, stack):
    folder = tmp_path / "in" / "a.zarr"
    image(new(folder), [stack[0]], [axis("y", UM), axis("x", UM)], [[scale(0.5, 0.25)]])
    for name, top in (("a.ozx", folder), ("b.zarr.zip", folder.parent)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(top))
        found = read_image(tmp_path / name)
        np.testing.assert_array_equal(np.asarray(found.array), stack[0])
        assert (found.spacing, found.unit) == ((0.5, 0.25), "um")
    with pytest.raises(ImageError, match=r"c\.ozx: OME-Zarr is written as a folder"):
        write_labels(tmp_path / "c.ozx", stack[0])


# ------------------------------------------------------------------ damaged and hostile
def edit(file, change):
    """Change the data of a JSON file."""
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def levels_missing(path):
    shutil.rmtree(path / "0")


def chunks_of_nothing(path):
    edit(path / "0" / "zarr.json", lambda data: set_chunks(data, [0, 0]))


def set_chunks(data, chunks):
    data["chunk_grid"]["configuration"]["chunk_shape"] = chunks


def a_million_squared(path):
    shutil.rmtree(path / "0" / "c")
    edit(path / "0" / "zarr.json", lambda data: data.update(shape=[10**6, 10**6]))


def one_huge_chunk(path):
    def change(data):
        data.update(shape=[10**6, 10**6])
        set_chunks(data, [10**6, 10**6])

    edit(path / "0" / "zarr.json", change)


def unknown_codec(path):
    codec = {"name": "no-such-codec", "configuration": {}}
    edit(path / "0" / "zarr.json", lambda data: data["codecs"].append(codec))


def no_json(path):
    (path / "zarr.json").write_text("{" * 1000)


def deep_json(path):
    (path / "zarr.json").write_text("[" * 200_000)


def large_json(path):
    with (path / "zarr.json").open("wb") as file:
        file.truncate(10**10)


def too_many_axes(path):
    edit(path / "zarr.json", lambda data: first(data)["axes"].insert(0, axis("z")))


def first(data):
    return data["attributes"]["ome"]["multiscales"][0]


def scale_of_three(path):
    edit(
        path / "zarr.json",
        lambda data: first(data)["datasets"][0].update(coordinateTransformations=[scale(1, 1, 1)]),
    )


def scale_of_words(path):
    edit(
        path / "zarr.json",
        lambda data: first(data)["datasets"][0].update(coordinateTransformations=[scale("a", {})]),
    )


def levels_elsewhere(path):
    edit(path / "zarr.json", lambda data: first(data)["datasets"][0].update(path="../../a.zarr/0"))


def no_levels(path):
    edit(path / "zarr.json", lambda data: first(data).update(datasets=[]))


def a_number_for_metadata(path):
    edit(path / "zarr.json", lambda data: data["attributes"]["ome"].update(multiscales=3))


def link_out(path):
    shutil.move(path / "0", path.parent / "elsewhere")
    (path / "0").symlink_to(path.parent / "elsewhere")


def link_in_a_circle(path):
    shutil.rmtree(path / "0")
    (path / "0").symlink_to(path / "0")


def a_pipe(path):
    (path / "0" / "zarr.json").unlink()
    os.mkfifo(path / "0" / "zarr.json")


def complex_numbers(path):
    shutil.rmtree(path / "0")
    zarr.create_array(path / "0", data=np.ones((20, 30), complex))


def words(path):
    shutil.rmtree(path / "0")
    zarr.create_array(path / "0", data=np.full((20, 30), "cell"))


DAMAGES = [
    levels_missing, chunks_of_nothing, a_million_squared, one_huge_chunk, unknown_codec, no_json,
    deep_json, large_json, too_many_axes, scale_of_three, scale_of_words, levels_elsewhere,
    no_levels, a_number_for_metadata, complex_numbers, words,
    *([] if os.name == "nt" else [link_out, link_in_a_circle, a_pipe]),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_cannot_be_read_is_named(tmp_path, stack, damage):
    path = tmp_path / "a.zarr"
    image(new(path), [stack[0]], [axis("y"), axis("x")])
    damage(path)
    with pytest.raises(ImageError, match=r"a\.zarr"):
        read_image(path)


def garbage(chunk):
    chunk.write_bytes(b"cell 1 is fine")


def cut(chunk):
    chunk.write_bytes(chunk.read_bytes()[:30])


def linked(chunk):
    chunk.unlink()
    chunk.symlink_to("/dev/zero")


@pytest.mark.parametrize("damage", [garbage, cut, *([] if os.name == "nt" else [linked])])
def test_a_damaged_chunk_is_named_when_it_is_read(tmp_path, stack, damage):
    path = tmp_path / "a.zarr"
    image(new(path), [stack[0]], [axis("y"), axis("x")])
    damage(path / "0" / "c" / "1" / "1")
    found = read_image(path)
    assert np.asarray(found.array[:8, :8]).shape == (8, 8)
    with pytest.raises(ImageError, match=r"a\.zarr"):
        np.asarray(found.array)


def test_missing_chunks_are_empty_and_said_if_none_is_there(tmp_path, stack):
    path = tmp_path / "a.zarr"
    image(new(path), [stack[0]], [axis("y"), axis("x")])
    (path / "0" / "c" / "0" / "0").unlink()
    found = read_image(path)
    assert not found.notices
    assert not np.asarray(found.array[:16, :16]).any()
    shutil.rmtree(path / "0" / "c")
    assert "None of the pixels of 0 are stored" in read_image(path).notices[0]


def test_coarser_levels_may_be_missing(tmp_path, stack):
    path = tmp_path / "a.zarr"
    image(
        new(path), [stack[0], stack[0][::2, ::2]], [axis("y"), axis("x")],
        [[scale(1, 1)], [scale(2, 2)]],
    )  # fmt: skip
    shutil.rmtree(path / "1")
    found = read_image(path)
    assert len(found.levels) == 1
    assert found.notices == ("Levels that the metadata list are not there: 1.",)


# ------------------------------------------------------------------ labels
def test_nothing_of_others_is_replaced(tmp_path, stack):
    (tmp_path / "a.zarr").write_text("mine")
    with pytest.raises(ImageError, match=r"a\.zarr: there is a file of this name"):
        write_labels(tmp_path / "a.zarr", stack)
    image(new(tmp_path / "b.zarr"), [stack], [axis("z"), axis("y"), axis("x")])
    with pytest.raises(ImageError, match="SegLite did not write"):
        write_labels(tmp_path / "b.zarr", stack)


def world(found, index):
    return [
        place + step * k
        for place, step, k in zip(found.grid.origin, found.spacing, index, strict=True)
    ]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("level", [0, 1])
def test_labels_inside_an_image_lie_on_it(tmp_path, stack, version, level):
    path = tmp_path / "a.zarr"
    axes = [axis("t", "second"), axis("c"), axis("z", "nanometer"), axis("y", UM), axis("x", UM)]
    finest = stack[None, None]
    levels = [finest, finest[..., ::2, ::2], finest[..., ::4, ::4]]
    steps = [
        [scale(1, 1, 300, 0.5 * n, 0.25 * n), shift(0, 0, 50, 0.25 * (n - 1), 0)] for n in (1, 2, 4)
    ]
    image(new(path, version), levels, axes, steps, version, after=[scale(1, 1, 2, 1, 1)])
    found = read_image(path)
    labels = (np.asarray(found.levels[level]) % 50).astype(np.uint16)
    target = write_into(path, "cells", labels, {"a": 1}, found.grid_at(level))
    assert target == path / "labels" / "cells"
    inside = read_label_file(target)
    np.testing.assert_array_equal(inside.array, labels)
    fine = [step[0]["scale"] for step in steps][level]
    assert inside.spacing == pytest.approx((0.6, fine[3], fine[4]))
    assert inside.units == found.units == ("um", "um", "um")
    if not level:
        assert world(inside, (1, 5, 7)) == pytest.approx(world(found, (1, 5, 7)))
    stored = zarr.open_group(target, mode="r")
    assert stored.metadata.zarr_format == (2 if version == "0.4" else 3)
    assert [stored[str(k)].shape for k in range(3 - level)] == [
        (1, *each.shape[2:]) for each in levels[level:]
    ]
    np.testing.assert_array_equal(
        stored[str(2 - level)][0], labels[:, :: 4 // 2**level, :: 4 // 2**level]
    )
    about = stored.attrs.asdict().get("ome", stored.attrs.asdict())
    assert about["image-label"] == {"version": version, "source": {"image": "../../"}}
    assert [a["name"] for a in about["multiscales"][0]["axes"]] == list("tzyx")
    assert read_recipe(target) == {"a": 1}
    write_into(path, "nuclei", labels, {}, found.grid_at(level))
    write_into(path, "cells", labels, {"a": 2}, found.grid_at(level))  # its own is replaced
    assert list_scenes(path / "labels") == ("cells", "nuclei")
    assert read_recipe(target) == {"a": 2}
    np.testing.assert_array_equal(np.asarray(read_image(path).array), stack)


def test_labels_of_one_field_and_one_of_an_array(tmp_path, stack):
    path = tmp_path / "plate.zarr"
    plate(path, stack[0], "0.5")
    grid = read_image(path, "B/3/f1").grid
    for source, scene in ((f"{path}#B/3/f1", None), (path, 4), (path / "B/3/f1", None)):
        target = write_into(source, "cells", stack[0], {}, grid, scene)
        assert target == path / "B" / "3" / "f1" / "labels" / "cells"
    assert not (path / "A" / "1" / "0" / "labels").exists()
    zarr.create_array(tmp_path / "plain.zarr", data=stack)
    with pytest.raises(ImageError, match=r"plain\.zarr: an array without metadata"):
        write_into(tmp_path / "plain.zarr", "cells", stack, {}, Grid("ZYX"))


def test_labels_that_do_not_belong_are_not_written(tmp_path, stack):
    path = tmp_path / "a.zarr"
    root = new(path, "0.4")
    image(root, [stack], [axis("z"), axis("y"), axis("x")], None, "0.4")
    theirs = root.create_group("labels").create_group("cells")
    root["labels"].attrs["labels"] = ["cells"]
    image(theirs, [stack], [axis("z"), axis("y"), axis("x")], None, "0.4")
    with pytest.raises(ImageError, match=r"cells: there are labels of this name"):
        write_into(path, "cells", stack, {}, Grid("ZYX"))
    with pytest.raises(
        ImageError, match=r"a\.zarr: labels ZYX of the shape \(2, 20, 30\) fit none"
    ):
        write_into(path, "mine", stack[:2], {}, Grid("ZYX"))
    with pytest.raises(ImageError, match="cannot have the name"):
        write_into(path, "../mine", stack, {}, Grid("ZYX"))
    assert json.loads((path / "labels" / ".zattrs").read_text())["labels"] == ["cells"]
    with pytest.raises(ImageError, match="OME-Zarr folders only"):
        write_into(tmp_path, "mine", stack, {}, Grid("ZYX"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_store_that_cannot_be_written_is_named(tmp_path, stack):
    path = tmp_path / "a.zarr"
    image(new(path), [stack], [axis("z"), axis("y"), axis("x")])
    path.chmod(0o500)
    with pytest.raises(ImageError, match=r"a\.zarr: labels cannot be written into this image"):
        write_into(path, "cells", stack, {}, Grid("ZYX"))


def test_a_file_in_the_place_of_the_labels_folder_is_named(tmp_path, stack):
    path = tmp_path / "a.zarr"
    image(new(path), [stack], [axis("z"), axis("y"), axis("x")])
    (path / "labels").write_text("mine")
    with pytest.raises(ImageError, match=r"a\.zarr: labels cannot be written into this image"):
        write_into(path, "cells", stack, {}, Grid("ZYX"))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_is_written_is_valid(tmp_path, stack, version):
    yaozarrs = pytest.importorskip("yaozarrs", reason="yaozarrs is not installed")
    path = tmp_path / "a.zarr"
    axes = [axis("c"), axis("z", UM), axis("y", UM), axis("x", UM)]
    image(new(path, version), [stack[None]], axes, [[scale(1, 2, 0.5, 0.5)]], version)
    write_into(path, "cells", stack, {}, read_image(path).grid)
    write_labels(tmp_path / "l.zarr", stack, grid=read_image(path).grid)
    for folder in (path, path / "labels", path / "labels" / "cells", tmp_path / "l.zarr"):
        file = folder / ("zarr.json" if (folder / "zarr.json").exists() else ".zattrs")
        yaozarrs.validate_ome_json(file.read_bytes())
