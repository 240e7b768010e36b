"""Label a folder of frames with the landmarks that the live tracker finds in them.

    python -m engines.training.labels --data FACES --out LABELS.npz

The same MediaPipe model as at run time, on still pictures: a network trained on other labels would
meet other mouths on stage. Frames in which no face is found are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from engines.crop import over_grey
from engines.training.pictures import read_rgba
from realtime.drivers.camera import find_faces


def label(data: Path, out: Path) -> None:
    """Write names (F,) and landmarks (F, 478, 3) in pixels of each frame, all of them or nothing.

    Raises:
        SystemExit: no frame shows a face, or one is damaged.
    """
    names, landmarks = [], []
    paths = sorted(data.glob("*.webp"))
    for path in paths:
        found = find_faces(over_grey(read_rgba(path)), at_most=1)
        if found:
            names.append(path.name)
            landmarks.append(found[0].landmarks_px)
    if not names:
        raise SystemExit(
            f"{data}: none of {len(paths)} frames shows a face, some must; "
            "give a folder of IDENTITY_FRAME.webp, as engines/training/synthetic makes them"
        )
    unfinished = out.with_name(f"{out.name}.unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, names=np.array(names), landmarks=np.stack(landmarks))
    unfinished.replace(out)
    print(f"{out}: {len(names)} of {len(paths)} frames show a face")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    label(options.data, options.out)
