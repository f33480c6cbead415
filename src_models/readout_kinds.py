"""The kinds of pixel readout, to be named without importing torch; see `pixel_features`."""

# The option of every network.
PIXEL_FEATURES = "pixel_features"
# Its values beside False. The readout of earlier checkpoints has fewer scales, and no structure
# tensor.
EARLIER, STRUCTURE = True, 2
