"""What the product is for: a few corrected images make other images of their kind better."""

import numpy as np
import pytest

from napari_seglite import FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.labels import overlap
from napari_seglite.runtime import devices
from napari_seglite.training import Schedule, Validation, image_examples

START = "nuclei-unet-sharp-tiny"
MIDDLE = np.s_[160:416, 160:416]  # enough to tell a vessel by


@pytest.mark.slow
def test_five_images_of_another_kind_are_enough_to_get_better(real_images, store):
    """Vessels of the retina, which a checkpoint for nuclei gets wrong."""
    folder = real_images / "retina-vessels"

    def pairs(part, count):
        images, labels = (list_images(folder / part / kind) for kind in ("images", "labels"))
        return [
            (read_image(image), read_labels(truth)[MIDDLE])
            for image, truth in list(zip(images, labels, strict=True))[:count]
        ]

    def score(checkpoint):
        segmenter = Segmenter(store)
        return np.mean(
            [
                overlap(
                    segmenter.segment(
                        image.array[MIDDLE], SegmentRequest(checkpoint, image.axes.order, "cpu")
                    ).labels,
                    truth,
                ).dice
                for image, truth in others
            ]
        )

    others = pairs("test", 3)
    corrected = [
        frame
        for image, truth in pairs("train", 5)
        for frame in image_examples(
            "eye", image.array[MIDDLE], truth, image.axes, store.info(START)
        )
    ]
    before = score(START)
    request = FineTuneRequest(
        START,
        "vessels",
        schedule=Schedule(steps=60),
        validation=Validation(validate_every=30),
        precision="bfloat16" if devices.fast_bfloat16("cpu") else "float32",  # as suggested
        device="cpu",
    )
    for _ in FineTuner(request, corrected, store).run():
        pass
    assert score("vessels") > before + 0.2
