"""Every public name shows how it is used, and the examples that need no files are right."""

import doctest
import sys

import pytest

import napari_seglite


@pytest.mark.parametrize("name", napari_seglite.__all__)
def test_examples_of_public_names(name):
    public = getattr(napari_seglite, name)
    names = vars(sys.modules[public.__module__])
    tests = doctest.DocTestFinder(recurse=False).find(public, name, globs=dict(names))
    assert any(test.examples for test in tests), f"{name} has no example"
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0
