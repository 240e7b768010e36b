"""Every width and depth of the networks. They share numbers, so these are stated once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The published networks by default; narrower ones serve the tests."""

    points: int = 21
    """implicit key points (K)"""
    bins: int = 66
    """classes of each head angle"""
    side: int = 64
    """height and width of the appearance volume; pictures enter at 4 times it, leave at 8 times"""
    depth: int = 16
    channels: int = 32
    """of the appearance volume"""
    first: int = 64
    """F: width of its first convolution, doubled by each of two halvings"""
    residuals: int = 6
    """F: residual blocks over the volume"""
    stages: tuple[int, int, int, int] = (96, 192, 384, 768)
    """M: widths of ConvNeXt V2, size tiny"""
    blocks: tuple[int, int, int, int] = (3, 3, 9, 3)
    compressed: int = 4
    """W: channels that the candidate motions are tried on"""
    hourglass: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """W: widths on the way down, one halving of height and width each"""
    features: int = 256
    """channels between W and G"""
    hidden: int = 128
    """G: between the features and a modulation"""
    last: int = 64
    """G: width at full resolution"""

    @property
    def flat(self) -> int:
        """Channels of the volume with its depth laid into them."""
        return self.channels * self.depth

    @property
    def candidates(self) -> int:
        """Motions that W chooses from: one for each key point, and standing still."""
        return self.points + 1

    @property
    def picture(self) -> int:
        return 4 * self.side

    @property
    def rendered(self) -> int:
        return 8 * self.side


PUBLISHED = Sizes()
