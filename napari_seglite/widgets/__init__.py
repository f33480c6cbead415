"""The plugin's panels: they show state and start jobs, and hold no logic."""
