"""The models that a user can get: whose they are, on what terms, from where, and their files.

Nothing here is under terms that forbid commercial use: of LivePortrait's files only those that
its authors put under MIT are named, none of the InsightFace detectors beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.nets.liveportrait.sizes import PUBLISHED, Sizes


@dataclass(frozen=True, slots=True)
class Published:
    """One file as its authors publish it."""

    path: str
    """below the model's source"""
    size: int
    """bytes"""
    sha256: str
    """hexadecimal; empty where nobody knows it: then the first file that is got sets it"""
    networks: tuple[str, ...]
    """whose weights it holds; each is kept in a file of its own"""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    """what a user types"""
    title: str
    licence: str
    source: str
    """URL that the files' paths are below"""
    files: tuple[Published, ...]
    sizes: Sizes = PUBLISHED

    @property
    def size(self) -> int:
        """Bytes to be got."""
        return sum(file.size for file in self.files)


# As seven public scripts that download from this address record them (one for its revision
# 82a4fa67), and the Git LFS pointers of a public copy; all agree. Nothing was downloaded yet to
# see: there was no internet.
LIVEPORTRAIT = Model(
    name="liveportrait",
    title="LivePortrait, by KwaiVGI (arXiv 2407.03168)",
    licence="MIT",
    source="https://huggingface.co/KwaiVGI/LivePortrait/resolve/main",
    files=(
        Published(
            "liveportrait/base_models/appearance_feature_extractor.pth",
            3_387_959,
            "5279bb8654293dbdf327030b397f107237dd9212fb11dd75b83dfb635211ceb5",
            ("appearance",),
        ),
        Published(
            "liveportrait/base_models/motion_extractor.pth",
            112_545_506,
            "251e6a94ad667a1d0c69526d292677165110ef7f0cf0f6d199f0e414e8aa0ca5",
            ("motion",),
        ),
        Published(
            "liveportrait/base_models/warping_module.pth",
            182_180_086,
            "2f61a6f265fe344f14132364859a78bdbbc2068577170693da57fb96d636e282",
            ("warping",),
        ),
        Published(
            "liveportrait/base_models/spade_generator.pth",
            221_813_590,
            "4780afc7909a9f84e24c01d73b31a555ef651521a1fe3b2429bd04534d992aee",
            ("generator",),
        ),
        Published(
            "liveportrait/retargeting_models/stitching_retargeting_module.pth",
            2_393_098,
            "3652d5a3f95099141a56986aaddec92fadf0a73c87a20fac9a2c07c32b28b611",
            ("stitching", "lip_retargeting", "eye_retargeting"),
        ),
    ),
)

MODELS = {model.name: model for model in (LIVEPORTRAIT,)}
