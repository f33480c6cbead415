"""Images and labels in stores elsewhere: in memory, on a server of S3, and where nothing is."""

import sys

import numpy as np
import pytest

from napari_seglite import cli, read_image, segment
from napari_seglite.blocks import Blocks, Ledger, prepare, run_step
from napari_seglite.errors import ImageError
from napari_seglite.formats import read_labels, write_labels

BLOCKS = Blocks(64, overlap=32)


@pytest.fixture
def request_(request_of):
    return request_of(output="instances", min_size=15)


@pytest.fixture(scope="module")
def image_zarr(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("zarr") / "cells.zarr"
    write_labels(path, image, spacing=(0.5, 0.25), unit="um")
    return path


def put(system, folder, place):
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_memory_holds_image_labels_and_ledger(image, image_zarr, request_, objects):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    put(system, image_zarr, "/lab/cells.zarr")
    found = read_image("memory://lab/cells.zarr")
    assert (found.axes.order, found.spacing, found.unit) == ("YX", (0.5, 0.25), "um")
    np.testing.assert_array_equal(found.array[:], image)
    out = "memory://lab/out.zarr"
    ledger = prepare("memory://lab/cells.zarr", request_, out, BLOCKS)
    for _ in run_step(ledger, "segment", part=(0, 2)):
        pass
    assert len(ledger.left("segment")) == 8
    assert segment("memory://lab/cells.zarr", request_, output=out, blocks=BLOCKS) == out
    np.testing.assert_array_equal(read_labels(out), objects)
    assert Ledger(out).counts() == {"objects": int(objects.max())}
    assert not system.find("/lab/out.zarr.blocks/segment")


@pytest.fixture
def bucket(monkeypatch):
    """Return a file system with a bucket on a server in this process."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("lab")
    yield system
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_s3_holds_image_labels_and_ledger(bucket, image_zarr, objects, capsys):
    put(bucket, image_zarr, "lab/cells.zarr")
    words = "segment s3://lab/cells.zarr --checkpoint nuclei-unet-sharp-tiny --device cpu"
    words += " --instances --min-size 15 --tile 64 --overlap 16 --runtime torch"
    words += " --output s3://lab/results --block 128 --block-overlap 32"
    assert cli.main(words.split()) == 0
    out = "s3://lab/results/cells_labels.zarr"
    assert capsys.readouterr().out.strip() == out
    np.testing.assert_array_equal(read_labels(out), objects)
    assert bucket.exists("lab/results/cells_labels.zarr.blocks/done.json")


def test_a_store_that_is_not_there_is_told_in_a_sentence(tmp_path, capsys):
    with pytest.raises(ImageError, match="holds no OME-Zarr image"):
        read_image("memory://lab/nothing.zarr")
    with pytest.raises(ImageError, match="no nowhere:// stores"):
        read_image("nowhere://lab/a.zarr")
    command = ["segment", "memory://lab/nothing.zarr", "--checkpoint", "nuclei-s-net"]
    assert cli.main([*command, "--output", str(tmp_path)]) == 1
    assert "memory://lab/nothing.zarr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "command"),
    [("gs://lab/a.zarr", "pip install gcsfs"), ("s3://lab/a.zarr", r"napari-seglite\[cluster\]")],
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, address, command):
    registry = pytest.importorskip("fsspec.registry")
    for kind in ("gs", "s3"):  # what other tests imported
        monkeypatch.delitem(registry._registry, kind, raising=False)
    for name in ("gcsfs", "s3fs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImageError, match=command):
        read_image(address)
