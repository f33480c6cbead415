"""Cards tell which options a network takes, so that no other reaches its constructor."""

import inspect
from importlib import import_module

import pytest

import src_models
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import CheckpointError
from src_models.cards import CARDS


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_card_lists_the_arguments_of_its_class(name):
    card = src_models.card(name)
    module, _, attribute = card.factory.partition(":")
    arguments = inspect.signature(getattr(import_module(module), attribute)).parameters
    assert [option.name for option in card.options] == list(arguments)[2:]
    for option in card.options:
        assert not option.problem(arguments[option.name].default)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet-sharp", {"preset": "tiny", "dims": 3, "spacing": [2, 1.0, 1]}),
        ("unet-sharp", {"spacing": None}),
        ("m2snet", {"multi_scale": False}),
        ("s-net", {}),
    ],
)
def test_good_options(name, options):
    assert src_models.card(name).option_problem(options) == ""
    assert CheckpointInfo("x", name, options=options).options == options


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet-sharp", {"dims": 3.0}),
        ("unet-sharp", {"preset": ["tiny"]}),
        ("unet-sharp", {"spacing": [1, 1]}),
        ("unet-sharp", {"spacing": [1, 1, True]}),
        ("unet-sharp", {"spacing": [1, 1, float("inf")]}),
        ("unet-sharp", {"spacing": "abc"}),
        ("m2snet", {"multi_scale": 1}),
        ("s-net", {"preset": "tiny"}),
    ],
)
def test_odd_options(name, options):
    assert next(iter(options)) in src_models.card(name).option_problem(options)
    with pytest.raises(CheckpointError, match="cannot be used"):
        CheckpointInfo("x", name, options=options)


def test_a_card_without_options_passes_them_on():
    card = src_models.NetworkCard("n", "N", "", "", "", 1, (1, 1), 0.0, 1, "", "a:B")
    assert card.option_problem({"anything": 1}) == ""
