"""Every error of the engines.

EngineError
├── WeightsError     a weights file is missing, damaged, or not the one that its manifest names
├── DownloadError    a file cannot be had, is not what its sum says, or cannot be written
├── BackendError     the chosen backend is not on this machine, or cannot run the network
│   ├── DeviceError  no GPU can be used: no driver, an old one, no device, no memory left on it
│   └── PlanError    no plan fits this machine, or none that agrees with the reference can be built
└── PortraitError    a portrait that no avatar can be made from
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all; its text states the value, the rule and the fix."""


class WeightsError(EngineError):
    """A weights file is missing, damaged, or not the one that its manifest names."""


class DownloadError(EngineError):
    """A file cannot be had, is not what its sum says, or cannot be written."""


class BackendError(EngineError):
    """The chosen backend is not on this machine, or cannot run the network."""


class DeviceError(BackendError):
    """No GPU can be used: no driver, an old one, no device, no memory left on it."""


class PlanError(BackendError):
    """No plan fits this machine, or none that agrees with the reference can be built."""


class PortraitError(EngineError):
    """The portrait cannot be driven: wrong shape, or landmarks that are no face."""
