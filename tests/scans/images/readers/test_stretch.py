import numpy as np
import pytest

from tumorml.scans.images.readers.stretch import stretch


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float16, np.float32, np.float64])
def test_values_are_mapped_linearly_to_0_to_255(dtype: type[np.generic]) -> None:
    values = np.array([[100, 200], [151, 355]], dtype)
    assert stretch(values).tolist() == [[0, 100], [51, 255]]
    assert stretch(values).dtype == np.uint8


def test_constant_image_becomes_black() -> None:
    assert not stretch(np.full((3, 4), 1000, np.uint16)).any()


@pytest.mark.parametrize("values", [[0, np.nan], [0, np.inf], [-np.inf, 0], [-1.7e308, 1.7e308]])
def test_values_without_a_finite_range_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="not numbers"):
        stretch(np.array([values]))
