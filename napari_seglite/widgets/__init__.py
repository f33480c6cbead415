"""The plugin's panels: they show state and start jobs of the engine."""
