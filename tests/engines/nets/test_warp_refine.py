"""Where pictures may change, and how: mouths are only lit, in tones; eyes are painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines import crop
from engines.specs import IDENTITY_FEATURES, LITE

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.train

PX = LITE.patch_px
OPENING = (..., slice(36, 60), slice(24, 72))
"""rows and columns of a mouth's inside"""
LIPS = (..., slice(28, 68), slice(16, 80))
EYE = (..., slice(40, 56), slice(34, 62))
WITHIN = (..., slice(41, 55), slice(29, 67))
"""of the opening, farther from its border than a mean reaches"""


def mouth() -> Tensor:
    """(1, G, PX, PX) a guide of lips around an opening."""
    import torch

    guide = torch.zeros((1, crop.GUIDE_CHANNELS, PX, PX))
    guide[0, 0][OPENING] = 1
    guide[0, 1][LIPS] = 1
    guide[0, 4] = 1
    return guide


def eye() -> Tensor:
    """(1, G, PX, PX) a guide of an open eye."""
    import torch

    guide = torch.zeros((1, crop.GUIDE_CHANNELS, PX, PX))
    guide[0, 2][EYE] = 1
    guide[0, 4] = 1
    return guide


def checkerboard() -> Tensor:
    """(1, 3, PX, PX) of -1 and 1, in every colour."""
    import torch

    y, x = np.mgrid[:PX, :PX]
    squares = np.where((x + y) % 2, 1, -1).astype(np.float32)
    return torch.from_numpy(np.broadcast_to(squares, (1, 3, PX, PX)).copy())


def inside() -> np.ndarray:
    """(PX, PX) the opening."""
    where = np.zeros((PX, PX), bool)
    where[OPENING] = True
    return where


def skin() -> np.ndarray:
    """(PX, PX) a mouth's patch but for the opening."""
    return ~inside()


def photograph(seed: int = 0) -> Tensor:
    """(1, 3, PX, PX) of any colours but black."""
    import torch

    pixels = np.random.default_rng(seed).uniform(0.05, 1, (1, 3, PX, PX))
    return torch.from_numpy(pixels.astype(np.float32))


def answer(
    said: Tensor, warped: Tensor, guide: Tensor, way: float | None = None
) -> tuple[Tensor, Tensor]:
    """(change, gain) of `Drive` whose last layer says `said` (B, 4, PX, PX), colour and mask.

    Args:
        way: of each feature, in halves of a patch; None: far.
    """
    import torch

    from engines.nets.warp_refine import Drive

    drive = Drive(LITE)
    drive.paint.register_forward_hook(lambda *_: said)
    count, cells = len(guide), PX // crop.FEATURE_STRIDE
    features = torch.zeros((count, IDENTITY_FEATURES, cells, cells))
    grid = torch.zeros((count, cells, cells, 2))
    if way is not None:
        steps = (torch.arange(cells) + 0.5) * (2 / cells) - 1
        grid[..., 0], grid[..., 1] = steps + way, steps[:, None]
    with torch.no_grad():
        change, gain = drive(warped, guide, features, grid)
    return change, gain


def driven(said: Tensor, warped: Tensor, guide: Tensor) -> Tensor:
    """How what is shown differs from `warped` then."""
    change, gain = answer(said, warped, guide)
    return warped * gain + change - warped


def saying(colour: Tensor, mask: float = 0.0) -> Tensor:
    """(B, 4, PX, PX) a last layer's colour, with its mask."""
    import torch

    return torch.cat([colour, torch.full((len(colour), 1, PX, PX), mask)], 1)


def log_gain(said: Tensor, guide: Tensor | None = None) -> np.ndarray:
    """(PX, PX) what `light` makes of it, freed of its bounds."""
    from engines.nets.warp_refine import light

    return np.asarray(np.arctanh(light(said, mouth() if guide is None else guide)[0, 0] / 0.8))


def test_tone_passes_in_one_strength_for_all_colours() -> None:
    import torch

    flat = torch.tensor([0.5, -0.3, 0.1])[None, :, None, None].expand(1, 3, PX, PX)
    np.testing.assert_allclose(log_gain(flat)[skin()], 0.1, rtol=0.02)


def test_at_rest_a_mouth_is_not_lit_anew() -> None:
    """And the more of it the farther it has moved, up to a twenty-fifth of the patch."""
    import torch

    said = saying(torch.full((1, 3, PX, PX), 0.5))
    gains = [answer(said, photograph(), mouth(), way)[1][0, 0] for way in (0.0, 0.04, 0.08, None)]
    rest, half, whole, far = (np.log(gain.numpy()) for gain in gains)
    assert np.abs(rest).max() < 1e-4 and far.max() > 0.2
    np.testing.assert_allclose(half, far / 2, atol=1e-4)
    np.testing.assert_allclose(whole, far, atol=1e-4)


def test_light_that_changes_slowly_passes() -> None:
    import torch

    ramp = torch.linspace(-1, 1, PX).expand(1, 3, PX, PX)
    above = (slice(9, 20), slice(9, -9))
    np.testing.assert_allclose(log_gain(ramp)[above], ramp[0, 0][above], atol=0.003)


def test_no_shape_changes() -> None:
    found = log_gain(0.3 + 0.5 * checkerboard())[9:19, 9:-9]
    np.testing.assert_allclose(found, 0.3, atol=0.01)


def test_nothing_is_said_of_what_is_drawn_in_a_mouth() -> None:
    """Nor does the skin take anything of what would have been said there."""
    import torch

    said = torch.from_numpy(np.where(inside(), 5, 0.2).astype(np.float32)).expand(1, 3, PX, PX)
    found = log_gain(said)
    np.testing.assert_array_equal(found[inside()], 0)
    np.testing.assert_allclose(found[skin()], 0.2, rtol=0.02)


def test_half_inside_counts_for_half() -> None:
    import torch

    guide = mouth()
    guide[0, 0, 35, 24:72] = 0.5
    found = log_gain(torch.full((1, 3, PX, PX), 0.2), guide)
    above, border, within = found[34:37, PX // 2].tolist()
    assert above == pytest.approx(0.2, rel=0.02) and within == 0
    assert border == pytest.approx(0.1, rel=0.05)


def test_a_change_of_a_mouth_is_a_gain_whatever_the_picture() -> None:
    """So the ratio of neighbours stays: what it says is light on a picture, and never a stain."""
    import torch

    rng = np.random.default_rng(5)
    said = saying(torch.from_numpy(rng.normal(0, 8, (1, 3, PX, PX)).astype(np.float32)))
    gains = []
    for seed in (1, 2):
        warped = photograph(seed)
        gains.append((warped + driven(said, warped, mouth())) / warped)
    assert float(gains[0].std()) > 0.1, "it says something"
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-4)


@pytest.mark.parametrize("level", [-0.7, 0.4])
def test_a_mouth_in_one_light_keeps_the_ratios_of_its_pixels(level: float) -> None:
    """On the lips and around them; the opening keeps its own light."""
    import torch

    warped = photograph()
    change = driven(saying(torch.full((1, 3, PX, PX), level)), warped, mouth())
    lit = (warped + change)[..., 15:-15, 15:-15]
    gain = np.where(skin(), np.exp(0.8 * np.tanh(level)), 1).astype(np.float32)
    expected = (warped * torch.from_numpy(gain))[..., 15:-15, 15:-15]
    np.testing.assert_allclose(lit, expected, rtol=0.01)


@pytest.mark.parametrize("said", [-100.0, 0.3, 100.0])
def test_black_around_a_mouth_stays_black(said: float) -> None:
    import torch

    warped, colour = photograph(), torch.full((1, 3, PX, PX), said)
    warped[..., 18:30, 20:50] = 0
    change = driven(saying(colour, mask=100.0), warped, mouth())
    np.testing.assert_array_equal(change[..., 18:30, 20:50], 0)
    assert float(change[..., 62:75, 20:75].abs().min()) > 0.005, "what is not black is lit"


def test_a_mouth_about_which_nothing_is_said_stays_as_it_is() -> None:
    import torch

    change = driven(saying(torch.zeros((1, 3, PX, PX)), mask=100.0), photograph(), mouth())
    np.testing.assert_array_equal(change, 0)


@pytest.mark.parametrize("said", [20.0, -20.0])
def test_skin_is_lit_2_2_fold_at_most_and_teeth_not_at_all(said: float) -> None:
    import torch

    gain = np.where(skin(), np.exp(np.copysign(0.8, said)), 1)
    warped = photograph()
    change = driven(saying(torch.full((1, 3, PX, PX), said)), warped, mouth())
    lit = (warped + change).numpy()
    middle = (..., slice(15, -15), slice(15, -15))
    gains = lit / warped.numpy()
    np.testing.assert_allclose(gains[0][middle], np.stack([gain] * 3)[middle], rtol=1e-3)
    assert (np.abs(gains - 1) <= np.abs(gain - 1) * 1.001 + 1e-6).all()
    np.testing.assert_array_equal(lit[..., (0, -1), :], warped[..., (0, -1), :])
    np.testing.assert_array_equal(lit[..., (0, -1)], warped[..., (0, -1)])


def test_an_eye_is_painted_with_all_its_shapes_beside_a_mouth_that_is_lit() -> None:
    """A colour with a mask: a closed lid has a line that no warp shows, and no gain makes."""
    import torch

    from engines.nets.warp_refine import reach

    guides, warped = torch.cat([eye(), mouth()]), photograph().repeat(2, 1, 1, 1)
    warped[..., 44:48, 40:50] = 0
    said = saying(0.3 * checkerboard().expand(2, -1, -1, -1), mask=0.7)
    change = driven(said, warped, guides)
    mask = 1 / (1 + np.exp(-0.7))
    painted = reach(guides) * mask * (0.5 + 0.3 * checkerboard() - warped)
    np.testing.assert_allclose(change[0], painted[0], atol=1e-5)
    assert float(change[0, :, 44:48, 40:50].min()) > 0.1, "on black as well"
    lit = driven(said[1:], warped[1:], guides[1:])
    np.testing.assert_allclose(change[1:], lit, atol=1e-5)
    assert float((change[1] - painted[1]).abs().mean()) > 0.05


def test_light_may_fall_all_over_a_mouths_patch_and_fades_at_the_border() -> None:
    from engines.nets.warp_refine import reach

    found = reach(mouth())[0, 0].numpy()
    np.testing.assert_array_equal(found[15:-15, 15:-15], 1)
    for border in (found[0], found[-1], found[:, 0], found[:, -1]):
        np.testing.assert_array_equal(border, 0)
    assert max(np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)) < 0.08, "softly"


def test_paint_of_an_eye_stays_near_it() -> None:
    from engines.nets.warp_refine import reach

    found = reach(eye())[0, 0].numpy()
    assert found[EYE].min() == pytest.approx(1)
    far = np.ones((PX, PX), bool)
    far[25:71, 19:77] = False
    assert far.mean() > 0.4 and found[far].max() == 0
    assert max(np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)) < 0.15, "softly"


def test_what_may_change_of_a_patch_does_not_depend_on_its_neighbours() -> None:
    import torch

    from engines.nets.warp_refine import reach

    both = reach(torch.cat([mouth(), eye()]))
    np.testing.assert_array_equal(both[:1], reach(mouth()))
    np.testing.assert_array_equal(both[1:], reach(eye()))


def test_a_mouth_is_only_lit_and_an_eye_only_painted() -> None:
    """So either can be laid over a picture that is sharper than its patch."""
    import torch

    said = saying(torch.full((2, 3, PX, PX), 0.4), mask=1.0)
    change, gain = answer(said, photograph().repeat(2, 1, 1, 1), torch.cat([mouth(), eye()]))
    np.testing.assert_array_equal(change[0], 0)
    np.testing.assert_array_equal(gain[1], 1)
    assert float(gain[0].max()) > 1.1 and float(change[1].abs().max()) > 0.1
