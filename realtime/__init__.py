"""The daemon: clocks and no layers. Read `pipeline.py` first; `frames.py` names what flows."""

__version__ = "0.1.0"
