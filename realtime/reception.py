"""What became of the camera's packets and pictures before anybody saw one. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reception:
    """Of one connection, counted from its beginning."""

    lost: int = 0
    """pictures of which a packet never came"""
    key: int = 0
    """whole ones that could only be decoded after a key frame that had not come yet"""
    backlog: int = 0
    """whole ones that came while too many others waited for the decoder"""
    packets_lost: int = 0
    """packets that did not come at their first sending"""
    nacks: int = 0
    """packets that were asked for again, each time counted"""
    plis: int = 0
    """key frames that were asked for"""

    @property
    def drops(self) -> dict[str, int]:
        """Pictures that were never decoded, by reason."""
        return {"lost": self.lost, "key": self.key, "backlog": self.backlog}

    @property
    def repairs(self) -> dict[str, int]:
        """What was lost, and what was done about it."""
        return {"packets_lost": self.packets_lost, "nacks": self.nacks, "plis": self.plis}
