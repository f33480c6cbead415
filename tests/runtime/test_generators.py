from napari_seglite.runtime import WithResult, drain


def counted(to):
    yield from range(to)
    return "end"


def test_a_generator_is_drained_for_its_value():
    assert drain(counted(3)) == "end"
    assert drain(counted(0)) == "end"


def test_items_and_value_are_both_there():
    steps = WithResult(counted(3))
    assert list(steps) == [0, 1, 2]
    assert steps.result == "end"
