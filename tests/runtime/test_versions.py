"""The version that is stored with every checkpoint and every recipe."""

import importlib.metadata

import pytest
from packaging.version import Version

import napari_seglite
from napari_seglite.runtime import versions


def test_the_version_is_the_installed_one():
    installed = importlib.metadata.version("napari-seglite")
    assert napari_seglite.__version__ == installed
    assert versions()["napari-seglite"] == installed
    assert versions("scipy").keys() == {
        "python", "napari-seglite", "torch", "numpy", "monai", "scipy"
    }  # fmt: skip


def test_a_copy_that_was_not_installed_is_older_than_any_release(monkeypatch):
    found = importlib.metadata.version

    def version(name):
        if name == "napari-seglite":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    stored = versions()
    assert stored["napari-seglite"] == napari_seglite.__version__
    assert Version(stored["napari-seglite"]) < Version("0.1.0")
    assert stored["numpy"] == found("numpy")


def test_other_names_are_still_unknown():
    with pytest.raises(AttributeError, match="__versions__"):
        _ = napari_seglite.__versions__
