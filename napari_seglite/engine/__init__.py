"""The engine: NumPy in, NumPy out. Knows neither Qt nor napari."""
