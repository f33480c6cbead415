"""Checkpoints are fetched by name from a release, whole or not at all."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from release_server import LICENCE, NAME, make_release, serving

import napari_seglite
from napari_seglite.catalogue import (
    ENVIRONMENT_VARIABLE,
    FetchProgress,
    fetch,
    fetching,
    read_catalogue,
    release,
)
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.cli import main
from napari_seglite.errors import Cancelled, CheckpointError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a release."""
    return make_release(tmp_path_factory.mktemp("made"))


@pytest.fixture
def server(folder):
    with serving(folder) as running:
        yield running


@pytest.fixture
def catalogue(server):
    return f"{server.url}/catalogue.json"


@pytest.fixture
def changed(folder, tmp_path, server):
    """Return a function that writes a catalogue with a changed entry."""

    def write(**fields):
        data = json.loads((folder / "catalogue.json").read_text())
        (entry,) = data["checkpoints"]
        entry.update(url=f"{server.url}/{NAME}.zip")
        entry.update(fields)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(data))
        return path

    return write


def nothing_stays(store):
    """Whether neither a checkpoint nor a part of one is in the folder of a store."""
    return not store.folder.exists() or not list(store.folder.iterdir())


def test_a_checkpoint_is_fetched(store, catalogue, folder):
    told = []
    steps = fetching(store, NAME, catalogue)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            info = end.value
            break
    size = (folder / f"{NAME}.zip").stat().st_size
    assert all(isinstance(each, FetchProgress) for each in told)
    assert [each.done for each in told if each.total] == sorted(e.done for e in told if e.total)
    assert told[-1].done == told[-1].total == size
    assert f"Fetching {NAME}: " in told[-2].text
    assert [path.name for path in store.folder.iterdir()] == [NAME] == [info.id]
    made = CheckpointStore(folder.parent / "store").load(NAME)[1].state_dict()
    fetched = store.load(NAME)[1].state_dict()
    assert all(torch.equal(made[key], fetched[key]) for key in made)


def test_a_file_is_a_catalogue_too_and_the_environment_names_one(store, folder, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(folder / "catalogue.json"))
    (entry,) = read_catalogue().entries
    assert (entry.id, entry.network, entry.licence) == (NAME, "unet-sharp", LICENCE)
    assert napari_seglite.fetch(store, NAME).description == entry.description


def test_the_catalogue_of_the_package_is_valid_and_says_if_it_is_empty(store, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    found = read_catalogue()
    assert bool(found.empty_text) is not bool(found.entries)
    with pytest.raises(CheckpointError, match="'general-nothing' can be fetched"):
        fetch(store, "general-nothing")


def test_another_content_is_refused_and_nothing_stays(store, changed, folder):
    with pytest.raises(CheckpointError, match=r"SHA-256 is another one\. Nothing was kept"):
        fetch(store, NAME, changed(sha256="0" * 64))
    assert nothing_stays(store)
    size = (folder / f"{NAME}.zip").stat().st_size
    with pytest.raises(CheckpointError, match="SHA-256 is another one"):
        fetch(store, NAME, changed(size=size - 1))
    assert nothing_stays(store)


def test_a_broken_connection_is_told_and_nothing_stays(store, server, catalogue):
    server.sends = 100_000
    with pytest.raises(CheckpointError, match=r"connection to 127\.0\.0\.1 broke off. Try again"):
        fetch(store, NAME, catalogue)
    assert nothing_stays(store)
    server.sends = None
    assert fetch(store, NAME, catalogue).id == NAME


def test_a_file_that_ends_early_is_told(store, changed, folder):
    size = (folder / f"{NAME}.zip").stat().st_size
    with pytest.raises(CheckpointError, match=f"ended after {size:,} of {size + 5:,} bytes"):
        fetch(store, NAME, changed(size=size + 5))
    assert nothing_stays(store)


@pytest.mark.parametrize("then", ["silent", "slow"])
def test_a_download_can_be_cancelled_while_the_server_is(store, server, catalogue, then):
    server.sends, server.then = 100_000, then
    stopped = []
    steps = fetching(store, NAME, catalogue, lambda: bool(stopped))
    next(step for step in steps if step.done)
    assert list(store.folder.glob(".writing-*/*.zip"))
    stopped.append(True)
    with pytest.raises(Cancelled):
        list(steps)
    assert nothing_stays(store)


def test_a_silent_server_lets_the_catalogue_be_cancelled(server, catalogue):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 2

    server.sends, server.then = 0, "silent"
    with pytest.raises(Cancelled):
        read_catalogue(f"{server.url}/{NAME}.zip", stop)


def test_names_that_are_there_or_unknown(store, catalogue, untrained):
    with pytest.raises(CheckpointError, match=f"No checkpoint 'general-tny'.*Did you mean {NAME}"):
        fetch(store, "general-tny", catalogue)
    with pytest.raises(CheckpointError, match=f"There are: {NAME}"):
        fetch(store, "zzz", catalogue)
    fetch(store, NAME, catalogue)
    with pytest.raises(CheckpointError, match=r"already\. Rename or delete it"):
        fetch(store, NAME, catalogue)
    assert sorted(path.name for path in store.folder.iterdir()) == [NAME, "untrained"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "nuclei-s-net"}, "comes with SegLite"),
        ({"id": "other"}, f"holds the checkpoint {NAME}, not other"),
        ({"id": "../evil"}, "is no catalogue of checkpoints: .*cannot name a checkpoint"),
        ({"sha256": "12"}, "no SHA-256 of 64"),
        ({"size": -3}, "a size of -3 bytes"),
        ({"size": "big"}, "is no catalogue of checkpoints: checkpoints.0.size"),
        ({"size": 10**18}, "MB are free"),
        ({"network": "os.system"}, "which is not installed"),
        ({"url": ""}, "no address"),
        ({"url": "missing.zip"}, "missing.zip cannot be read: No such file"),
    ],
)
def test_odd_entries_are_told(store, changed, fields, message):
    with pytest.raises(CheckpointError, match=message):
        fetch(store, fields.get("id", NAME), changed(**fields))
    assert nothing_stays(store)


def test_odd_catalogues_are_told(store, server, tmp_path):
    with pytest.raises(CheckpointError, match=r"the server answers 404"):
        read_catalogue(f"{server.url}/nothing.json")
    with pytest.raises(CheckpointError, match=f"{NAME}.zip is too large for a catalogue"):
        read_catalogue(f"{server.url}/{NAME}.zip")
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1 cannot be reached"):
        read_catalogue("http://127.0.0.1:9/catalogue.json")
    with pytest.raises(CheckpointError, match="No such file"):
        read_catalogue(tmp_path / "missing.json")
    path = tmp_path / "c.json"
    path.write_text('{"format": 2, "checkpoints": []}')
    with pytest.raises(CheckpointError, match="another version of SegLite"):
        read_catalogue(path)
    path.write_text("<html>")
    with pytest.raises(CheckpointError, match=r"c\.json is no catalogue of checkpoints"):
        read_catalogue(path)


def test_a_catalogue_from_the_web_names_no_files_of_this_computer(store, folder, tmp_path):
    data = json.loads((folder / "catalogue.json").read_text())
    data["checkpoints"][0]["url"] = f"file://{folder}/{NAME}.zip"
    (tmp_path / "catalogue.json").write_text(json.dumps(data))
    with (
        serving(tmp_path) as server,
        pytest.raises(CheckpointError, match="not one of the web"),
    ):
        fetch(store, NAME, f"{server.url}/catalogue.json")


def test_a_damaged_checkpoint_is_named_by_its_address(store, tmp_path, changed):
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK")
    found = hashlib.sha256(b"PK").hexdigest()
    with pytest.raises(CheckpointError, match=r"x\.zip does not contain a checkpoint") as told:
        fetch(store, NAME, changed(url=str(path), size=2, sha256=found))
    assert ".writing-" not in str(told.value)
    assert nothing_stays(store)


FULL = """
import resource, sys
from napari_seglite.catalogue import fetch
from napari_seglite.checkpoints import CheckpointStore
from napari_seglite.errors import CheckpointError

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    fetch(CheckpointStore(), sys.argv[1], sys.argv[2])
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is one of POSIX")
def test_a_file_that_cannot_grow_is_told(store, catalogue):
    done = subprocess.run(
        [sys.executable, "-c", FULL, NAME, catalogue], capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{NAME} cannot be fetched into {store.folder}: File too large")
    assert "Check the free space" in done.stdout
    assert nothing_stays(store)


def test_a_release_grows(store, untrained, tmp_path):
    target = tmp_path / "new"
    for _ in range(2):  # the second entry replaces the first
        entry = release(store, "untrained", target, licence="CC0", url="https://x.org/1/")
    info = CheckpointInfo("b", "unet-sharp", options={"preset": "tiny"})
    store.save(info, info.build().state_dict())
    release(store, "b", target, licence="CC BY 4.0")
    found = read_catalogue(target / "catalogue.json")
    assert [each.id for each in found.entries] == ["untrained", "b"]
    assert found.entries[0] == entry
    assert entry.url == "https://x.org/1/untrained.zip"
    assert entry.size == (target / "untrained.zip").stat().st_size
    content = (target / "untrained.zip").read_bytes()
    assert entry.sha256 == hashlib.sha256(content).hexdigest()
    assert found.place(found.entries[1]) == str(target / "b.zip")


# ------------------------------------------------------------------ from a shell
def test_the_command_lists_and_fetches(store, server, catalogue, capsys, monkeypatch):
    assert main(["fetch", "--list", "--catalogue", catalogue]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "NETWORK", "MB", "HERE", "LICENCE", "DESCRIPTION"]
    assert row.split()[:2] == [NAME, "unet-sharp"]
    assert "yes" not in row
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, catalogue)
    assert main(["fetch", NAME]) == 0
    assert capsys.readouterr() == (f"{NAME}\n", "")
    assert store.info(NAME).network == "unet-sharp"
    assert main(["fetch", "--list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["here"] is True
    assert listed["url"] == f"{server.url}/{NAME}.zip"
    for words, message in (
        ([NAME], f"There is a checkpoint {NAME} already"),
        (["general-tiney"], f"Did you mean {NAME}?"),
        ([], "or list them with --list"),
        (["a", "--list"], "or list them with --list"),
    ):
        assert main(["fetch", *words]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


def test_an_empty_catalogue_is_said_to_be_empty(tmp_path, capsys):
    path = tmp_path / "c.json"
    path.write_text('{"format": 1, "checkpoints": []}')
    assert main(["fetch", "--list", "--catalogue", str(path)]) == 0
    assert f"The catalogue {path} is empty." in capsys.readouterr().err
