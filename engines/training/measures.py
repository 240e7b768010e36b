"""What an evaluation measures: numbers from pictures, landmarks and series. Knows no data set.

Pictures are (H, W, 3) uint8 RGB. "Unit" is the distance of the outer eye corners in three
dimensions (`face_mesh.face_unit`); lengths are stated in percent of it.

- PSNR, dB: of all three channels together; two equal pictures get 100.
- SSIM, -1..1: Wang et al., "Image quality assessment", IEEE TIP 13(4), 2004, on luma, Gaussian
  window with sigma 1.5, mean of the map.
- GMSD, 0 is equal: Xue et al., "Gradient magnitude similarity deviation", IEEE TIP 23(2), 2014, on
  luma at half size, c = 170. A perceptual distance without learned weights. It is the *spread* of
  the error, so an error that is the same everywhere goes unseen; PSNR and SSIM see that one.
- AKD, % of the unit: mean distance in x and y of the 478 landmarks found in a picture from those
  that it was to show.
- Lip gap and eye aspect: landmarks 13 to 14 over the unit; lids over corners as in Soukupova and
  Cech, "Real-time eye blink detection using facial landmarks", CVWW 2016, mean of both eyes.
- Flicker, grey levels of 255: mean absolute second difference in time where the face is still.
- Shape distance, % of the unit, and colour distance, 0..1: of two faces, pose undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import fit_similarity

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
Box = tuple[slice, slice]
"""rows and columns"""

EQUAL_DB = 100.0
"""the PSNR of equal pictures, which has no finite value"""
STILL_SPEED = 0.005
"""units per frame, about half a pixel: what moves less is still"""
_SMALLEST_BOX_PX = 8
_PADS = {"mouth": 0.15, "eyes": 0.12}
"""units around the contours"""
_CONTOURS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "mouth": (face_mesh.LIPS_OUTER_UPPER + face_mesh.LIPS_OUTER_LOWER,),
    "eyes": (
        face_mesh.RIGHT_EYE_UPPER + face_mesh.RIGHT_EYE_LOWER,
        face_mesh.LEFT_EYE_UPPER + face_mesh.LEFT_EYE_LOWER,
    ),
}
_LIDS = (
    (face_mesh.RIGHT_EYE_UPPER, face_mesh.RIGHT_EYE_LOWER),
    (face_mesh.LEFT_EYE_UPPER, face_mesh.LEFT_EYE_LOWER),
)
INNER_FACE = ~np.isin(np.arange(face_mesh.LANDMARKS), face_mesh.FACE_OVAL)
"""(478,) all but the outline, where the background takes part"""
_HISTOGRAM_BINS = 8
"""per channel"""
_SSIM_SIGMA = 1.5
_SSIM_SIZE = 11
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_GMSD_C = 170.0
_PREWITT = np.array([[1, 0, -1]] * 3, np.float32) / 3


def regions(landmarks: F32, hw: tuple[int, int]) -> dict[str, tuple[Box, ...]]:
    """The boxes of "whole", "mouth" and "eyes" (two) in a picture of height and width `hw`."""
    pad = face_mesh.face_unit(landmarks)
    found = {
        name: tuple(_box(landmarks[list(contour), :2], _PADS[name] * pad, hw) for contour in parts)
        for name, parts in _CONTOURS.items()
    }
    return {"whole": ((slice(0, hw[0]), slice(0, hw[1])),), **found}


def compare(shown: U8, target: U8, boxes: Mapping[str, Sequence[Box]]) -> dict[str, float]:
    """PSNR, SSIM and GMSD as `{region}_psnr_db`, `_ssim`, `_gmsd`; a mean over a region's boxes."""
    similar, gradients = ssim_map(shown, target), gradient_similarity(shown, target)
    scores = {}
    for name, places in boxes.items():
        decibels = [psnr_db(shown[box], target[box]) for box in places]
        scores[f"{name}_psnr_db"] = float(np.mean(decibels))
        scores[f"{name}_ssim"] = float(np.mean([similar[box].mean() for box in places]))
        scores[f"{name}_gmsd"] = float(np.mean([gradients[_half(box)].std() for box in places]))
    return scores


def psnr_db(shown: U8, target: U8) -> float:
    error = float(((shown.astype(np.float32) - target.astype(np.float32)) ** 2).mean())
    return EQUAL_DB if error == 0 else min(EQUAL_DB, float(10 * np.log10(255**2 / error)))


def ssim_map(shown: U8, target: U8) -> F32:
    """(H, W) similarity of the windows around each pixel; borders are mirrored."""
    a, b = luma(shown), luma(target)
    mean_a, mean_b = _window(a), _window(b)
    both = mean_a * mean_b
    squares = mean_a**2 + mean_b**2
    variances = _window(a * a) + _window(b * b) - squares
    covariance = _window(a * b) - both
    structure = (2 * covariance + _SSIM_C2) / (variances + _SSIM_C2)
    return cast(F32, (2 * both + _SSIM_C1) / (squares + _SSIM_C1) * structure)


def gradient_similarity(shown: U8, target: U8) -> F32:
    """(ceil(H / 2), ceil(W / 2)) of GMSD: 1 where the gradients are equally strong."""
    a, b = _gradient(luma(shown)), _gradient(luma(target))
    return cast(F32, (2 * a * b + _GMSD_C) / (a * a + b * b + _GMSD_C))


def gmsd(shown: U8, target: U8) -> float:
    return float(gradient_similarity(shown, target).std())


def luma(rgb: U8) -> F32:
    """(H, W) 0..255, BT.601."""
    return cast(F32, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32))


def akd_percent(found: F32, wanted: F32) -> float:
    """Mean distance of (478, 3) landmarks in x and y, in % of the wanted face's unit."""
    distance = np.linalg.norm(found[:, :2] - wanted[:, :2], axis=1).mean()
    return float(100 * distance / face_mesh.face_unit(wanted))


def lip_gap(landmarks: F32) -> float:
    """Units between the middles of the inner lips."""
    return float(np.linalg.norm(landmarks[13] - landmarks[14]) / face_mesh.face_unit(landmarks))


def eye_aspect(landmarks: F32) -> float:
    """Height over width of the openings between the lids, mean of both eyes."""
    aspects = []
    for upper, lower in _LIDS:
        heights = [np.linalg.norm(landmarks[upper[i]] - landmarks[lower[i]]) for i in (3, 5)]
        width = np.linalg.norm(landmarks[upper[0]] - landmarks[upper[-1]])
        aspects.append(np.mean(heights) / width)
    return float(np.mean(aspects))


def correlation(a: Sequence[float] | F64, b: Sequence[float] | F64) -> float:
    """Pearson's; 0 where one of them is constant, for it follows nothing."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(first) < 2 or min(first.std(), second.std()) < 1e-9:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def still_landmarks(landmarks: F32) -> NDArray[np.bool_]:
    """(N - 2, 478) which landmarks of (N, 478, 3) stay where they are around a frame.

    Entry t is about the frame t + 1, its predecessor and its successor. The face's outline never
    counts as still.
    """
    units = np.array([face_mesh.face_unit(points) for points in landmarks])
    speed = np.linalg.norm(np.diff(landmarks[..., :2], axis=0), axis=2) / units[1:, None]
    still = (speed[:-1] < STILL_SPEED) & (speed[1:] < STILL_SPEED)
    return cast("NDArray[np.bool_]", still & INNER_FACE)


def flicker(pictures: Sequence[U8], landmarks: F32, still: NDArray[np.bool_]) -> float:
    """Mean absolute second difference in time, grey levels, at landmarks that are still.

    Args:
        pictures: N times (H, W) luma.
        landmarks: (N, 478, 3) in them.
        still: (N - 2, 478) as `still_landmarks` gives it; NaN is the answer where none is.
    """
    total, count = 0.0, 0
    for t in range(1, len(pictures) - 1):
        x, y = np.round(landmarks[t, still[t - 1], :2]).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < pictures[t].shape[1]) & (y < pictures[t].shape[0])
        x, y = x[inside], y[inside]
        before, now, after = (picture[y, x].astype(int) for picture in pictures[t - 1 : t + 2])
        total += float(np.abs(before - 2 * now + after).sum())
        count += len(x)
    return total / count if count else float("nan")


def shape_distance_percent(found: F32, own: F32) -> float:
    """Mean distance of (478, 3) landmarks in x and y, in % of the unit, pose and size undone."""
    aligned = fit_similarity(own, found).invert(found)
    return akd_percent(aligned, own)


def colour_distance(shown: U8, own: U8, landmarks: F32) -> float:
    """Hellinger distance of the colours inside the face's outline, 0 equal to 1 disjoint.

    The histograms have 8 bins for each of R, G and B, jointly. Both faces lie at `landmarks`.
    """
    inside = np.zeros(own.shape[:2], np.uint8)
    outline = np.round(landmarks[list(face_mesh.FACE_OVAL), :2]).astype(np.int32)
    cv2.fillPoly(inside, [outline], (255,))
    first, second = (_histogram(picture, inside) for picture in (shown, own))
    return float(np.sqrt(max(0.0, 1 - np.sqrt(first * second).sum())))


def _box(points: F32, pad: float, hw: tuple[int, int]) -> Box:
    """The box around (N, 2) points, within the picture and never empty."""
    last = np.array([hw[1], hw[0]])
    low = np.clip(np.floor(points.min(axis=0) - pad), 0, last - _SMALLEST_BOX_PX).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + pad), low + _SMALLEST_BOX_PX, last).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _half(box: Box) -> Box:
    """The same box in a picture of half the size."""
    rows, columns = (slice(part.start // 2, -(-part.stop // 2)) for part in box)
    return rows, columns


def _window(image: F32) -> F32:
    size = (_SSIM_SIZE, _SSIM_SIZE)
    return cast(F32, cv2.GaussianBlur(image, size, _SSIM_SIGMA, borderType=cv2.BORDER_REFLECT))


def _gradient(image: F32) -> F32:
    """Gradient magnitude at half the size, as GMSD takes it."""
    size = -(-image.shape[1] // 2), -(-image.shape[0] // 2)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    along_x, along_y = (cv2.filter2D(small, cv2.CV_32F, k) for k in (_PREWITT, _PREWITT.T))
    return cast(F32, cv2.magnitude(along_x, along_y))


def _histogram(rgb: U8, inside: U8) -> F64:
    bins, span = [_HISTOGRAM_BINS] * 3, [0.0, 256.0] * 3
    counts = cv2.calcHist([rgb], [0, 1, 2], inside, bins, span).astype(np.float64)
    return cast(F64, counts / max(counts.sum(), 1.0))
