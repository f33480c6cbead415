"""Which checkpoint is recommended for an image, and why: a table of images."""

import pytest

from napari_seglite.checkpoints import CheckpointInfo, ImageFacts, recommend
from napari_seglite.images import ImageAxes

NUCLEI = "Nuclei in fluorescence, histology and bright field; grey or RGB."
START = "A start for anything that is not nuclei: objects, and thin lines. Fine-tune it."
VESSELS = "Vessels of the retina in colour photographs. Learnt from CHASE_DB1."


def nuclei(name, network, dice, channels=3, **more):
    facts = {"objects": True, "object_diameter": 19.5, "class_names": ("background", "nucleus")}
    scores = {"test_dice": dice}
    return CheckpointInfo(
        name, network, channels, description=NUCLEI, scores=scores, **facts, **more
    )


def start(name, network, **scores):
    learnt = {"frames": ["nuclei 1"]}
    return CheckpointInfo(name, network, description=START, scores=scores, settings=learnt)


def tuned(name, *frames, created="2026-11-01", **more):
    return CheckpointInfo(
        name,
        more.pop("network", "unet-sharp"),
        description="Fine-tuned from general-unet-sharp.",
        settings={"frames": list(frames)},
        created=created,
        **more,
    )


SHIPPED = [
    nuclei("nuclei-s-net", "s-net", 0.908, channels=1),
    nuclei("nuclei-tiny", "unet-sharp", 0.907, any_channels=True, options={"preset": "tiny"}),
    nuclei("nuclei-small", "unet-sharp", 0.911, any_channels=True, options={"preset": "small"}),
    start("general-s-net", "s-net", test_dice_nuclei=0.95, learning_gain=-0.02),
    start("general-unet-sharp", "unet-sharp", test_dice_nuclei=0.9, learning_gain=0.03),
    start("general-celnet", "celnet", learning_gain=0.04),
    CheckpointInfo("vessels", "u2net-msac", 3, description=VESSELS),
]
OWN = [
    tuned("mine-1", "other", "gut, slice 3", spacing=(0.5, 0.5)),
    tuned("mine-2", "other", "gut, slice 4", created="2026-11-02", spacing=(0.5, 0.5)),
    tuned("five", "plate", in_channels=5),
    tuned("deep", "tissue", options={"dims": 3}),
]


def facts(axes, *shape, **more):
    return ImageFacts(ImageAxes(axes), shape, **more)


@pytest.mark.parametrize(
    ("image", "first", "reason"),
    [
        # Nothing is known but the shape.
        (facts("YX", 512, 512), "nuclei-small", "Or take general-unet-sharp for anything else."),
        (
            facts("YXC", 512, 512, 3, rgb=True),
            "nuclei-small",
            "Or take vessels for vessels of the retina in colour photographs, general-unet-sharp",
        ),
        (facts("ZYX", 30, 512, 512), "nuclei-small", "Or take general-celnet for anything else."),
        # Size of the nuclei, from that of the pixels or as it was found.
        (facts("YX", 512, 512, pixel_size=(0.5, 0.5)), "nuclei-small", "a nucleus is about 16 "),
        (facts("YX", 512, 512, object_diameter=40.0), "nuclei-small", "are about 40 pixels wide"),
        (
            facts("YX", 512, 512, pixel_size=(0.005, 0.005)),
            "general-unet-sharp",
            "nuclei-small does not suit it: At this pixel size a nucleus is about 1,600 pixels",
        ),
        (facts("YX", 512, 512, pixel_size=(700, 700)), "general-unet-sharp", "about 0.01 pixels"),
        (facts("YX", 512, 512, object_diameter=0.0), "general-unet-sharp", "no objects here"),
        (facts("YX", 512, 512, object_diameter=400.0), "general-unet-sharp", "too far apart"),
        # A stack along Z, not along T, nor one of two slices.
        (facts("ZYX", 30, 99, 99, pixel_size=(0.01, 0.01)), "general-celnet", "has 30 along Z"),
        (facts("TYX", 30, 99, 99, pixel_size=(0.01, 0.01)), "general-unet-sharp", "A start for"),
        (facts("ZYX", 2, 99, 99, pixel_size=(0.01, 0.01)), "general-unet-sharp", "A start for"),
        # Many pixels on a CPU, not on a GPU.
        (facts("YX", 9000, 9000), "nuclei-tiny", "4 times fewer operations than nuclei-small"),
        (facts("TYX", 90, 900, 1000), "nuclei-tiny", "for 81 million pixels on a CPU."),
        (facts("YX", 9000, 9000, device="cuda"), "nuclei-small", "It needs no training"),
        # What the user trained: the newest on this image or project, unless pixels differ.
        (facts("YX", 99, 99, names=frozenset({"gut"})), "mine-2", "You trained it on this image."),
        (facts("YX", 99, 99, project=frozenset({"gut"})), "mine-2", "images of this project."),
        (
            facts("YX", 99, 99, project=frozenset({"gut"}), pixel_size=(0.005, 0.005)),
            "general-unet-sharp",
            "A start for",
        ),
        (facts("CYX", 5, 99, 99), "five", "on images with 5 channels"),
        (facts("CYX", 5, 99, 99, channels=(0,)), "nuclei-small", "It needs no training"),
        # Names of what was shipped do not count as the user's.
        (facts("YX", 99, 99, names=frozenset({"nuclei 1"})), "nuclei-small", "It needs no"),
    ],
)
def test_the_first_for_an_image(image, first, reason):
    found = recommend(image, [*SHIPPED, *OWN], [info.id for info in OWN])
    assert found[0].checkpoint == first
    assert reason in found[0].reason
    assert found[0].fits
    assert len(found) == len(SHIPPED) + len(OWN)


def test_a_start_that_was_fetched_is_not_said_to_be_the_users():
    fetched = start("general-full", "m2snet", test_dice_nuclei=0.95, test_dice_vessels=0.8)
    image = facts("YX", 99, 99, pixel_size=(0.005, 0.005))
    found = recommend(image, [*SHIPPED, fetched], ["general-full"])
    assert found[0].checkpoint == "general-full"
    assert "You trained" not in found[0].reason


def test_what_does_not_fit_comes_last_and_says_why():
    image = facts("YX", 99, 99, pixel_size=(0.5, 0.5))
    found = recommend(image, [*OWN, *SHIPPED], [info.id for info in OWN])
    unfit = {each.checkpoint: each.reason for each in found if not each.fits}
    assert unfit == {
        "five": "It needs 5 channels, and this image has 1.",
        "deep": "It reads several slices at once, and this image is no stack along Z.",
        "general-celnet": "It reads several slices at once, and this image is no stack along Z.",
        "vessels": "It learnt in colour, and this image has no colours.",
    }
    assert [each.fits for each in found] == [True] * 7 + [False] * 4
    assert recommend(facts("YX", 9, 9), []) == []


def test_starts_stand_in_the_order_in_which_they_learn():
    image = facts("ZYX", 30, 99, 99, pixel_size=(0.01, 0.01))
    slow = [info for info in SHIPPED if info.id != "general-celnet"]
    slow.append(start("general-celnet", "celnet", learning_gain=0.01))
    found = [each for each in recommend(image, slow) if each.checkpoint.startswith("general")]
    names = ["general-unet-sharp", "general-celnet", "general-s-net"]
    assert [each.checkpoint for each in found] == names
    assert "0.03 Dice ahead of a plain U-Net" in found[0].reason
    assert "0.02 Dice behind a plain U-Net" in found[2].reason
