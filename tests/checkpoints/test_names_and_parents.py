"""Names on every platform, and parents that follow renaming but never a name's new meaning."""

import os

import pytest

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore, parents_first
from napari_seglite.errors import CheckpointError

ODD = [
    "CON",
    "nul.txt",
    "com1",
    "abc.",
    "abc\n",
    "",
    ".x",
    "-x",
    "x y",
    "ü",
    "a/b",
    "a\0b",
    "a" * 101,
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_refused_for_anything_new(store, make, name):
    make("mine")
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        store.check_name(name)
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        store.rename("mine", name)
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        make(name)
    assert [p.name for p in store.folder.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["mine", "Mine", "NUCLEI-s-net", "spoilt"])
def test_taken_names_are_refused_whatever_the_capitals(store, make, put, name, tmp_path):
    make("mine")
    put("Spoilt", raw="x")
    with pytest.raises(CheckpointError, match="already"):
        make(name)
    with pytest.raises(CheckpointError, match="already"):
        store.rename("good", name)
    other = CheckpointStore(tmp_path / "other", tmp_path / "nothing")
    path = store.export("good", tmp_path / "it.zip")
    other.add(path)
    other.rename("good", name)
    with pytest.raises(CheckpointError, match="already"):
        store.add(other.export(name, path))


def test_names_of_earlier_versions_still_open(store, put):
    put("aux.1")
    assert store.damaged() == {}
    store.load("aux.1")
    store.annotate("aux.1", "x")
    store.rename("aux.1", "better")
    assert store.load("better")[0].note == "x"


def test_free_names_are_valid(store, make):
    make("Mine-tuned-1")
    assert store.free_name("mine") == "mine-tuned-2"
    assert store.free_name("/somewhere/x y") == "x-y-tuned-1"
    store.check_name(store.free_name("a" * 100))


# ------------------------------------------------------------------ parents
def parents(store):
    """Return the parents of the user's own checkpoints."""
    return {i.id: i.parent for i in store.list() if not store.is_built_in(i.id)}


def test_a_child_that_takes_its_deleted_parents_name_is_not_its_own_parent(store, make):
    make("tiny")
    make("tiny-tuned-1", "tiny", description="Fine-tuned from tiny.")
    make("sister", "tiny")
    make("grandchild", "tiny-tuned-1")
    store.delete("tiny")
    assert parents(store)["tiny-tuned-1"] == "tiny"
    info = store.rename("tiny-tuned-1", "tiny")
    assert (info.parent, info.description) == (None, "Fine-tuned from tiny.")
    assert parents(store) == {"tiny": None, "sister": None, "grandchild": "tiny"}
    assert store.damaged() == {}


def test_a_new_checkpoint_is_no_parent_of_those_that_were_there(store, make, tmp_path):
    make("mine")
    path = store.export("mine", tmp_path / "mine.zip")
    make("child", "mine")
    store.delete("mine")
    store.add(path)
    assert parents(store) == {"child": None, "mine": None}
    make("other", "gone")
    make("gone", "gone")
    assert parents(store) == {"child": None, "mine": None, "other": None, "gone": None}


def test_overwriting_closes_no_circle(store, make, tiny_weights):
    make("mine")
    make("child", "mine")
    info = CheckpointInfo("mine", "unet-sharp", parent="child", options={"preset": "tiny"})
    store.save(info, tiny_weights, overwrite=True)
    assert parents(store) == {"child": None, "mine": "child"}


def test_circles_are_damaged_and_their_children_are_not(store, put):
    put("a", parent="b")
    put("b", parent="c")
    put("c", parent="a")
    put("child", parent="a")
    found = store.scan()
    assert set(found.damaged) == {"a", "b", "c"}
    assert "trained from itself: b from c from a from b" in found.damaged["b"]
    assert parents(store) == {"child": "a", "good": None}
    store.rename("b", "d")  # out of the circle or not, no reference is lost
    assert store.info("a").parent == "d"


def test_any_graph_is_put_in_an_order():
    def info(name, parent=None):
        return CheckpointInfo(name, "s-net", parent=parent)

    chain = [info(f"n{k}", f"n{k + 1}") for k in range(3000)]
    assert [i.id for i in parents_first(chain)] == [f"n{k}" for k in range(2999, -1, -1)]
    odd = [info("a", "b"), info("b", "a"), info("c", "c"), info("d", "a"), info("e", "gone")]
    assert sorted(i.id for i in parents_first(odd)) == ["a", "b", "c", "d", "e"]


def test_a_rename_that_is_killed_loses_nothing(store, make, monkeypatch):
    """Both names are there, and the next program goes on from that."""
    make("mine")
    make("child", "mine")

    def kill(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_seglite.checkpoints.folder.remove", kill)
    with pytest.raises(KeyboardInterrupt):
        store.rename("mine", "new")
    monkeypatch.undo()
    assert store.damaged() == {}
    assert parents(store) == {"child": "new", "mine": None, "new": None}
    for name in ("mine", "new"):
        store.load(name)


def test_rename_keeps_files_that_the_user_added(store, make):
    make("mine")
    (store.folder / "mine" / "readme.txt").write_text("x")
    store.rename("mine", "new")
    assert (store.folder / "new" / "readme.txt").read_text() == "x"
    assert not (store.folder / "mine").exists()


def test_leftovers_of_killed_programs_are_hidden_and_go_with_the_next_change(store, make):
    make("mine")
    for name in (".writing-999999999-x", ".deleted-x"):
        (store.folder / name).mkdir()
        (store.folder / name / "card.json").write_text("{")
    os.rename(store.folder / "mine", store.folder / ".replaced-mine")
    fresh = CheckpointStore()
    assert (parents(fresh), fresh.damaged()) == ({}, {})
    assert len(list(store.folder.iterdir())) == 3  # reading changes nothing
    with pytest.raises(CheckpointError):
        fresh.annotate("mine", "x")
    fresh.save(CheckpointInfo("other", "s-net"), {})
    assert sorted(p.name for p in store.folder.iterdir()) == ["mine", "other"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_weights):
    (tmp_path / "file").write_text("x")
    store = CheckpointStore(tmp_path / "file")
    with pytest.raises(CheckpointError, match="cannot be written in"):
        store.save(CheckpointInfo("mine", "s-net"), tiny_weights)
    assert store.damaged() == {}
