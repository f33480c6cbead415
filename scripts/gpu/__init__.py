"""The parts of `gpu_check.py`, each in a module of its own with a function ``run``."""
