"""``seglite import`` reads what other programs and other computers wrote."""

import json

import pytest
from authors_files import unet_sharp

from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.cli import main


@pytest.fixture
def authors_file(tmp_path):
    """Return a file of UNet#'s authors."""
    path = tmp_path / "nuclei net.pth"
    unet_sharp(path)
    return path


def told(capsys):
    return capsys.readouterr().err.replace("\n", " ")


def test_authors_weights_are_imported(authors_file, store, capsys):
    file = str(authors_file)
    assert main(["import", file, "--kind", "unet-sharp"]) == 0
    assert capsys.readouterr().out == "nuclei-net\n"
    options = ["--name", "b", "--classes", "background,nucleus", "--mean", "0,0,0"]
    assert main(["import", file, "--kind", "unet-sharp", *options, "--std", "1,1,1"]) == 0
    info = store.info("b")
    assert info.class_names == ("background", "nucleus")
    assert (info.normalisation.mean, info.normalisation.std) == ((0, 0, 0), (1, 1, 1))
    capsys.readouterr()
    assert main(["checkpoints", "--json"]) == 0
    (listed,) = [c for c in json.loads(capsys.readouterr().out) if c["id"] == "b"]
    assert listed["origin"]["file"] == "nuclei net.pth"
    assert main(["checkpoints"]) == 0
    assert "from nuclei net.pth" in capsys.readouterr().out

    for words, message in (
        (["--kind", "unet-sharp", "--name", "b"], "There is a checkpoint b already"),
        (["--kind", "s-net", "--name", "c"], "look like those of unet-sharp"),
        (["--kind", "unet-sharp", "--name", "c", "--mean", "a,b"], "Write --mean as numbers"),
        (["--name", "c"], "Say whose weights"),
    ):
        assert main(["import", file, *words]) == 1
        assert message in told(capsys)
    assert not store.is_taken("c")


def test_exported_checkpoints_are_imported(store, tmp_path, capsys):
    info = CheckpointInfo("mine", "unet-sharp", options={"preset": "tiny"})
    store.save(info, info.build().state_dict())
    archive = str(store.export("mine", tmp_path / "mine.ZIP"))
    assert main(["import", archive]) == 1
    assert "There is a checkpoint mine already" in told(capsys)
    store.delete("mine")
    assert main(["import", archive, "--kind", "s-net"]) == 1
    assert "has a card of its own, so leave out --kind" in told(capsys)
    assert main(["import", archive]) == 0
    assert capsys.readouterr().out == "mine\n"
    assert store.info("mine").network == "unet-sharp"
