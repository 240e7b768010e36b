"""Makes `realtime/likeness.npz`: which differences between two faces' landmarks tell people apart.

    python -m engines.training.likeness PICTURES OUT.npz

PICTURES holds rendered people, IDENTITY_FRAME.webp with `meta.json`. Each is shown to the tracker
as a camera would see it: 640x480, of another size, compressed. Of every third person it learns how
the landmarks of one person differ from frame to frame (pose, expression, noise): the main
directions of all differences, each divided by that one person's standard deviation. People whose
number ends in 9 are held out: on them it says how well that tells people apart.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realtime import likeness
from realtime.drivers.camera import find_in_each
from realtime.frames import F32, U8

DIRECTIONS = 40
FRAME_WH = (640, 480)
LIVE_FRAMES = 5
"""averaged into one look at the camera"""
TRIALS = 8
"""looks per person"""
STRANGERS = 6
"""other people's pictures that each look is compared with"""

F64 = NDArray[np.float64]


def shapes_of(pictures: Path) -> dict[int, list[tuple[int, F32]]]:
    """Person -> (frame, aligned shape) of every picture in which the face is found and frontal."""
    random = np.random.default_rng(0)
    found = defaultdict(list)
    listed = json.loads((pictures / "meta.json").read_text("utf-8"))
    names = [
        entry["file"]
        for entry in listed
        if _is_held_out(entry["identity"]) or entry["identity"] % 3 == 0
    ]
    seen = (_seen(pictures / name, random) for name in names)
    for name, faces in zip(names, find_in_each(seen, 1), strict=True):
        person, frame = (int(part) for part in name.removesuffix(".webp").split("_"))
        shape = likeness.shape_of(faces[0].landmarks_px) if faces else None
        if shape is not None:
            found[person].append((frame, likeness.aligned(shape)))
    return found


def _is_held_out(person: int) -> bool:
    return person % 10 == 9


def _seen(path: Path, random: np.random.Generator) -> U8:
    """(480, 640, 3) the picture somewhere before a plain wall, compressed."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), np.float32)
    wall = random.uniform(60, 190, 3)
    alpha = rgba[:, :, 3:] / 255
    rgb = (rgba[:, :, :3] * alpha + wall * (1 - alpha)).astype(np.uint8)
    width, height = FRAME_WH
    side = int(random.integers(330, height + 1))
    frame = np.full((height, width, 3), wall, np.uint8)
    left, top = int(random.integers(0, width - side + 1)), (height - side) // 2
    small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    frame[top : top + side, left : left + side] = small
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(60, 91))]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)
    return np.asarray(cv2.cvtColor(cv2.imdecode(coded, 1), cv2.COLOR_BGR2RGB), np.uint8)


def learn(people: dict[int, list[tuple[int, F32]]]) -> F32:
    """(DIRECTIONS, N) of differences between aligned shapes, one person's own spread at 1."""
    means, within = [], []
    for frames in people.values():
        flat = np.array([shape.ravel() for _, shape in frames], np.float64)
        means.append(flat.mean(axis=0))
        within.append(flat - means[-1])
    own, between = np.concatenate(within), np.array(means) - np.mean(means, axis=0)
    both = np.concatenate([own / np.sqrt(len(own)), between / np.sqrt(len(between))])
    main: F64 = np.linalg.svd(both, full_matrices=False)[2][:DIRECTIONS]
    spread, turn = np.linalg.eigh(np.cov((own @ main.T).T))
    return np.asarray((main.T @ turn / np.sqrt(spread)).T, np.float32)


def judge(directions: F32, people: dict[int, list[tuple[int, F32]]]) -> tuple[F64, F64]:
    """Distances of looks from the person's own picture (frame 0), and from other people's."""
    random = np.random.default_rng(1)
    photos = {person: dict(frames)[0] for person, frames in people.items() if 0 in dict(frames)}
    own, others = [], []
    for person, photo in photos.items():
        live = [shape for frame, shape in people[person] if frame != 0]
        strangers = [other for other in photos if other != person]
        for _ in range(TRIALS):
            chosen = random.choice(len(live), LIVE_FRAMES, replace=False)
            look = np.mean([live[at] for at in chosen], axis=0)
            own.append(likeness.measure(directions, photo, look))
            for other in random.choice(strangers, STRANGERS, replace=False):
                others.append(likeness.measure(directions, photos[other], look))
    return np.sort(own), np.sort(others)


def rates(own: F64, others: F64, threshold: float) -> tuple[float, float]:
    """Share of strangers let in, and of people refused."""
    accepted = np.searchsorted(others, threshold, side="right") / len(others)
    return float(accepted), float(1 - np.searchsorted(own, threshold, side="right") / len(own))


def main(pictures: Path, out: Path) -> None:
    found = shapes_of(pictures)
    held_out = {person: frames for person, frames in found.items() if _is_held_out(person)}
    learned = {person: frames for person, frames in found.items() if not _is_held_out(person)}
    directions = learn(learned)
    np.savez_compressed(out, directions=directions.astype(np.float16))
    own, others = judge(directions, held_out)
    print(f"learned of {len(learned)} people, judged on {len(held_out)} others")
    print(f"{len(own)} looks at one's own picture, {len(others)} at another's")
    for threshold in np.arange(0.4, 1.7, 0.05):
        far, frr = rates(own, others, threshold)
        print(f"at {threshold:.2f}: strangers let in {far:.1%}, people refused {frr:.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
