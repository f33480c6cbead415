"""What is kept on disk: checkpoints and images. Knows neither Qt nor napari."""
