"""Every error of the engines.

EngineError
├── WeightsError    a weights file is missing, damaged, or not the one that its manifest names
├── BackendError    the chosen backend is not on this machine, or cannot run the network
└── PortraitError   a portrait that no avatar can be made from
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all; its text states the value, the rule and the fix."""


class WeightsError(EngineError):
    """A weights file is missing, damaged, or not the one that its manifest names."""


class BackendError(EngineError):
    """The chosen backend is not on this machine, or cannot run the network."""


class PortraitError(EngineError):
    """The portrait cannot be driven: wrong shape, or landmarks that are no face."""
