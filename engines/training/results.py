"""What an evaluation found: tables for people, flat figures for scripts, and verdicts.

Knows the names of the measures, and which way each is better; `evaluate.py` says what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engines.training.contestants import COPY, GEOMETRY, NETWORK, WARP
from engines.training.scores import Interval, Scores
from engines.training.trials import INPUT
from realtime.bench.report import print_table

MOUTH_GAIN_DB, MOST_AKD_PERCENT = 3.0, 3.5
"""what issue 3 asks of every size"""


class Measure(NamedTuple):
    name: str
    more_is_better: bool


MEASURES = (
    *(
        Measure(f"self_{region}_{kind}", kind != "gmsd")
        for region in ("whole", "mouth", "eyes")
        for kind in ("psnr_db", "ssim", "gmsd")
    ),
    *(
        Measure(f"{trial}_akd_{turn}percent", more_is_better=False)
        for trial in ("self", "cross")
        for turn in ("", "to_25_", "25_to_40_", "beyond_40_")
    ),
    Measure("clips_akd_percent", more_is_better=False),
    Measure("clips_lip_gap_r", more_is_better=True),
    Measure("clips_lip_gap_truth_r", more_is_better=True),
    Measure("clips_eye_aspect_r", more_is_better=True),
    Measure("clips_eye_aspect_truth_r", more_is_better=True),
    Measure("clips_flicker_levels", more_is_better=False),
    Measure("clips_flicker_of_input", more_is_better=False),
    Measure("still_flicker_levels", more_is_better=False),
    Measure("still_flicker_of_input", more_is_better=False),
    Measure("neutral_shape_percent", more_is_better=False),
    Measure("neutral_colour", more_is_better=False),
)
_OF_INPUT = {
    "clips_flicker_levels": "flicker of the clips themselves, levels",
    "still_flicker_levels": "flicker of the still clips themselves, levels",
    "clips_still_percent": "landmarks and times that are still while a clip plays, percent",
}
"""what is measured of the performers' pictures"""


_RELIED_ON = {
    "self_psnr_db": "self_whole_psnr_db",
    "self_ssim": "self_whole_ssim",
    "self_mouth_psnr_db": "self_mouth_psnr_db",
    "self_eye_psnr_db": "self_eyes_psnr_db",
    "self_akd_pct": "self_akd_percent",
    "cross_akd_pct": "cross_akd_percent",
    "cross_lip_corr": "clips_lip_gap_r",
    "cross_lid_corr": "clips_eye_aspect_r",
    "cross_flicker": "clips_flicker_of_input",
}
"""name that other tools rely on -> our measure"""


def show(scores: Scores, names: Sequence[str]) -> None:
    """Print a table per trial, and the verdicts."""
    for trial in ("self", "cross", "clips", "still", "neutral"):
        title = f"{trial}: mean ± half of the 95 % interval; gain = {NETWORK} - {GEOMETRY}"
        print_table(title, ("", *names, "gain"), _rows(scores, trial, names))
    for measure, what in _OF_INPUT.items():
        print(f"{what}: {_cell(scores.interval(measure, INPUT))}")
    for line in verdicts(scores):
        print(line)


def flat(scores: Scores, names: Sequence[str]) -> dict[str, float]:
    """Every figure by MEASURE.CONTESTANT and MEASURE.gain, with `_low` and `_high`; the counts."""
    figures: dict[str, float] = {}
    for measure in (*(measure.name for measure in MEASURES), "clips_still_percent"):
        for name in (*names, INPUT):
            figures |= _figures(f"{measure}.{name}", scores.interval(measure, name))
        figures |= _figures(f"{measure}.gain", scores.gain(measure, NETWORK, GEOMETRY))
        figures |= _figures(f"{measure}.gain_over_warp", scores.gain(measure, NETWORK, WARP))
    for name, measure in _RELIED_ON.items():
        for behind, contestant in (("", NETWORK), ("_geometry", GEOMETRY), ("_copy", COPY)):
            interval = scores.interval(measure, contestant)
            if interval is not None:
                figures[f"{name}{behind}"] = interval.mean
    for (trial, name), count in scores.missing.items():
        figures[f"{trial}_missing_faces.{name}"] = count
        figures[f"{trial}_samples.{name}"] = scores.shown[trial, name]
    return figures


def verdicts(scores: Scores) -> list[str]:
    """What the issue asks for, and whether it is so."""
    measured = [m for m in MEASURES if scores.gain(m.name, NETWORK, GEOMETRY) is not None]
    worse = [m.name for m in measured if _beats(scores, m) is False]
    unsure = [m.name for m in measured if _beats(scores, m) is None]
    lines = [
        f"worse than geometry: {', '.join(worse) or 'none'}",
        f"no difference that the interval shows: {', '.join(unsure) or 'none'}",
    ]
    for baseline in (GEOMETRY, WARP):
        gain = scores.gain("self_mouth_psnr_db", NETWORK, baseline)
        if gain is not None:
            lines.append(
                f"mouth box: {gain.mean:+.2f} dB over {baseline} of the {MOUTH_GAIN_DB} wanted"
            )
    akd = scores.interval("self_akd_to_25_percent", NETWORK)
    if akd is not None:
        lines.append(f"AKD to 25 degrees: {akd.mean:.2f} % of at most {MOST_AKD_PERCENT}")
    return lines


def _beats(scores: Scores, measure: Measure) -> bool | None:
    """Whether the network beats geometry; None where the interval holds zero, or there is none."""
    gain = scores.gain(measure.name, NETWORK, GEOMETRY)
    if gain is None or gain.low <= 0 <= gain.high:
        return None
    return (gain.mean > 0) == measure.more_is_better


def _figures(name: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {}
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _rows(scores: Scores, trial: str, names: Sequence[str]) -> Iterator[Sequence[str]]:
    for measure in MEASURES:
        if measure.name.startswith(f"{trial}_"):
            arrow = "↑" if measure.more_is_better else "↓"
            cells = [_cell(scores.interval(measure.name, name)) for name in names]
            gain = _cell(scores.gain(measure.name, NETWORK, GEOMETRY), "+")
            yield f"{measure.name.removeprefix(f'{trial}_')} {arrow}", *cells, gain
    counts = [(scores.missing.get((trial, n)), scores.shown.get((trial, n))) for n in names]
    if counts[0][1] is not None:
        yield "outputs without a face", *(f"{few} of {many}" for few, many in counts), ""


def _cell(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    digits = 3 if abs(interval.mean) < 2 else 2
    half = (interval.high - interval.low) / 2
    return f"{interval.mean:{sign}.{digits}f} ±{half:.{digits}f}"
