"""Objects across blocks: agreement in overlaps, ids, and what is left out."""

import numpy as np

from napari_seglite.blocks import Cut, agreeing, numbered


def test_dense_neighbours_stay_apart_and_parts_of_an_object_join():
    first = np.zeros((4, 12), int)
    first[:, :6], first[:, 6:] = 1, 2  # two objects that touch all along
    second = np.zeros_like(first)
    second[:, :5], second[:, 5:] = 8, 9  # the same two, with the border elsewhere
    assert agreeing(first, second, masks=False).tolist() == [[1, 8], [2, 9]]


def test_a_sliver_joins_nothing():
    first = np.zeros((4, 12), int)
    first[:, :6], first[:, 6] = 1, 2
    second = np.zeros_like(first)
    second[:, :7] = 8  # object 2 lies in 8, whose largest part is 1
    assert agreeing(first, second, masks=False).tolist() == [[1, 8]]


def test_parts_of_a_mask_join_by_any_pixel():
    first, second = np.zeros((2, 9), int), np.zeros((2, 9), int)
    first[:, :3], first[:, 6:] = 1, 2
    second[0] = 4
    assert agreeing(first, second, masks=True).tolist() == [[1, 4], [2, 4]]


def test_ids_follow_the_first_pixels_and_small_objects_are_left_out():
    found = numbered(
        sizes=np.array([5, 3, 0, 4, 9]),
        first=np.array([70, 10, 0, 40, 20]),
        sums=np.array([4.0, 3.0, 0.0, 4.0, 2.0]),
        pairs=np.array([[0, 3]]),
        min_size=4,
        least_probability=0.5,
    )
    # Parts 0 and 3 are one object of 9 pixels that begins at 40; 1 is too small, 4 too faint.
    assert found.ids.tolist() == [1, 0, 0, 1, 0]
    assert (found.objects, found.pixels) == (1, 9)


def test_more_blocks_than_decimal_digits_hold_keep_their_numbers():
    cut = Cut(1, (1, 32 * 250, 32 * 250), (1, 32, 32), (0, 8, 8))
    assert cut.count == 62_500
    last = cut.count - 1
    assert list(cut.neighbours(last)) == [last - 251, last - 250, last - 1]
    assert cut.shared(last, last - 1)[2] == slice(32 * 249 - 8, 32 * 249 + 8)


def test_cores_tile_the_image_and_each_is_in_its_grown_block():
    cut = Cut(2, (5, 70, 90), (2, 32, 32), (1, 8, 8))
    seen = np.zeros((2, *cut.shape), int)
    for number in range(cut.count):
        seen[cut.volume(number)][cut.core(number)] += 1
        for core, grown in zip(cut.core(number), cut.grown(number), strict=True):
            assert grown.start <= core.start < core.stop <= grown.stop
    assert (seen == 1).all()
