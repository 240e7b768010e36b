"""Every error of the daemon, by how far it reaches.

    ReenactdError
    ├── FrameError            ends one frame: counted, reported at most once a second
    ├── SessionError          ends one session: its text is shown to that client
    │   ├── OfferRejected     the SDP offer cannot be answered (HTTP 400)
    │   │   └── IceRestarted  another ICE session than the offer's (HTTP 422)
    │   ├── AdmissionRefused  no room for another session or viewer (HTTP 503)
    │   └── NobodyPerforms    there is nothing to watch (HTTP 404)
    └── StartupError          ends the process: exit code 2, the fix is in the text
        ├── ConfigError       a setting is unknown, mistyped or out of range
        ├── IdentityError     an identity is missing, damaged or without consent
        ├── TrustError        keys, signatures or records cannot be used
        └── ModelError        a model cannot be got as asked

Messages state the value, the rule and the fix. No stack trace reaches a user.
"""

from __future__ import annotations


class ReenactdError(Exception):
    """Base of all; its text is fit for a user."""


class FrameError(ReenactdError):
    """One frame could not be processed; the next one may."""


class SessionError(ReenactdError):
    """One session cannot go on."""


class OfferRejected(SessionError):
    """The client's SDP offer is malformed or asks for what is not served."""


class IceRestarted(OfferRejected):
    """Candidates of another ICE session than the one that the offer began."""


class AdmissionRefused(SessionError):
    """The daemon serves as many sessions as it is allowed to."""


class NobodyPerforms(SessionError):
    """A viewer asks for a session that does not run."""


class StartupError(ReenactdError):
    """The process cannot start or go on."""


class ConfigError(StartupError):
    """A setting is unknown, of the wrong type, or out of its range."""


class IdentityError(StartupError):
    """An identity cannot be loaded: missing, damaged, or no valid consent record."""


class TrustError(StartupError):
    """A key, a certificate or a signed record cannot be used."""


class ModelError(StartupError):
    """A model cannot be got as asked: unknown, from nowhere, or nobody agreed to it."""
