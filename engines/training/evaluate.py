"""Judge the shipped network on people it was never trained on, beside three baselines.

    python -m engines.training.evaluate --data FACES [--labels LABELS.npz] [--identities N|all]
        [--clips FOLDER] [--network NETWORK] [--against WEIGHTS]
        [--failures SHEET.png] [--out REPORT.json]

Contestants: `copy` shows the portrait as it is; `warp` is the portrait warped and nothing else;
`geometry` is all that we do but the network, with drawn eyeballs, teeth and tongue
(`geometry_only()`); `network` is what `load_warp_refine("onnx")` loads, in sequences steadied as it
is live (`engines/steady.py`; the others are not); `against` is another folder of weights of the
same signature, steadied likewise. Pictures are compared over mid grey. `--labels` saves half a
minute; make them with `engines.training.labels`, or the driven landmarks are another tracker's.

Measure names are TRIAL_WHAT_UNIT; `measures.py` defines what is computed, `trials.py` how it is
shown. On held-out people (number ends in 9; `--identities` of them, evenly spread):

- `self_{whole,mouth,eyes}_{psnr_db,ssim,gmsd}`: the first frame driven to the landmarks of each
  other frame of the same person, compared with that frame, on the whole 512x512 picture, on the
  box around the lips (margin 0.15 units) and the two around the eyes (0.12), placed by the driven
  landmarks. The torso stays where the portrait has it.
- `self_akd_percent`, and by the head's turn from the portrait `self_akd_to_25_percent`,
  `_25_to_40_` and `_beyond_40_` (degrees): landmarks that MediaPipe finds in the output, as a still
  picture, against those it was driven to, in % of the inter-ocular distance.
- `cross_akd_...`: the same where the next held-out person's frames drive (the blink, the wide jaw,
  the open smile and five at random poses), through the daemon's retargeting with that person's
  first frame as the neutral; the driven landmarks are those that the engine was told.
- `neutral_shape_percent`, `neutral_colour`: output at no motion against the copied portrait.

On the shipped identities, driven by the performer clips, tracked and smoothed as live (each clip
drives one identity; with `--identities all` every clip drives every one):

- `clips_lip_gap_r`, `clips_eye_aspect_r`: Pearson's correlation over a clip of the value found in
  the output with the driven one; `..._truth_r` with the clip's own truth (jaw; 1 - blink). 0 for a
  picture that does not move. `clips_akd_percent` as above, tracked from frame to frame.
- `clips_flicker_levels`: mean absolute second difference in time, grey levels of 255, at landmarks
  that move less than 0.5 % of the unit per frame both in the clip and on the canvas; as a multiple
  of the clip's own at the same landmarks and times: `clips_flicker_of_input`. The contestant
  `input` is the clip, and `clips_still_percent` the share of landmarks and times that are still.
- `still_flicker_levels`, `still_flicker_of_input`: the same over all of the face but its outline,
  driven by 3 s of each clip's calmest frame with fresh sensor noise (sigma 3) through H.264: what
  is left of the webcam's noise in an avatar that should stand still.

Each value is a mean over identities of their means, with a 95 % bootstrap interval over identities
(for `clips_` and `still_` there are four, so theirs are rough). `gain` is the network minus
geometry, paired by sample, and `gain_over_warp` minus the warp. Samples without a face are counted
and left out of what needs one.

The last line's `metrics` also holds the names that other tools rely on: `self_psnr_db`,
`self_mouth_psnr_db`, `self_akd_pct`, `cross_akd_pct`, `cross_lip_corr`, `cross_flicker` and so on
of the network, and with `_geometry` and `_copy` behind them of the baselines. Sequences (`_corr`,
`_flicker`) are of the performer clips, and so always `cross`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from engines import weights
from engines.errors import EngineError, WeightsError
from engines.specs import NETWORKS, WARP_REFINE_LITE
from engines.training import failures, results, trials
from engines.training.contestants import AGAINST, COPY, GEOMETRY, NETWORK, WARP, Contestant, Sitting
from engines.training.contestants import contestants as all_contestants
from engines.training.people import Person, find_face, read_people
from engines.training.performances import (
    Performance,
    Truth,
    calmest,
    find_clips,
    perform,
    write_still,
)
from engines.training.scores import LEVEL, RESAMPLES, SEED, Sample, Scores
from realtime.bench.report import Report, finish
from realtime.config import Config
from realtime.errors import ReenactdError
from realtime.identity import IdentityStore

DEFAULT_IDENTITIES = 12
CLIPS = Path(__file__).parents[2] / "tests" / "data" / "performers"
CROSS_FRAMES = (1, 2, 3, 5, 8, 11, 14, 17)
"""numbers of the driving person's frames: blink, jaw, smile, then random ones"""


@dataclass(frozen=True)
class Options:
    data: Path
    labels: Path | None
    identities: int | None
    """None for all"""
    clips: Path
    network: str
    against: Path | None
    failures: Path | None
    out: Path | None


def evaluate(options: Options) -> Report:
    """Run every trial, print the tables, and return the report.

    Raises:
        SystemExit, EngineError, ReenactdError: something given cannot be used; with what and why.
    """
    versions = _versions(options)  # now: a long run must not name weights that came meanwhile
    clips = find_clips(options.clips)
    everybody = all_contestants(options.network, options.against)
    people, faceless = read_people(options.data, options.labels, options.identities)
    if len(people) < 2:
        raise SystemExit(
            f"{options.data}: {len(people)} held-out people show a face in their first frame, must "
            "be 2 or more: one drives another; add IDENTITY_FRAME.webp whose IDENTITY ends in 9"
        )
    scores = Scores()
    refused = _judge_people(people, everybody, scores)
    if options.failures is not None:
        failures.write(people, everybody, scores, options.failures)
    refused += _judge_clips(clips, options, everybody, scores)
    names = [one.name for one in everybody]
    results.show(scores, names)
    print(f"{len(faceless)} frames of the data show no face; {refused} were refused as drivers")
    config = {
        **versions,
        "people": [person.name for person in people],
        "frames": sum(len(person.driving()) for person in people),
        "frames_without_face": faceless,
        "frames_refused": refused,
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "level_percent": LEVEL},
    }
    return Report("evaluate", config, results.flat(scores, names))


def _judge_people(people: Sequence[Person], everybody: Sequence[Contestant], scores: Scores) -> int:
    """The trials on held-out people. Returns how many driving frames were refused."""
    refused = 0
    for number, person in enumerate(people):
        print(f"person {person.name}, {number + 1} of {len(people)}", flush=True)
        sittings = trials.sit(person, everybody)
        trials.self_trial(person, sittings, scores)
        trials.neutral_trial(person, sittings, scores)
        driver = people[(number + 1) % len(people)]
        chosen = driver.numbered(CROSS_FRAMES)
        refused += trials.cross_trial(person, driver, chosen, sittings, scores)
    return refused


def _judge_clips(
    clips: Sequence[tuple[Path, Truth]],
    options: Options,
    everybody: Sequence[Contestant],
    scores: Scores,
) -> int:
    """The trials on shipped identities. Returns how many driving frames were refused."""
    config, refused = Config(), 0
    for number, (clip, truth) in enumerate(clips):
        performance = perform(clip, config)
        if len(truth) != len(performance.pictures):
            raise SystemExit(
                f"{clip}: has {len(performance.pictures)} frames and a truth of {len(truth)}, must "
                f"be as many; mend {clip.with_suffix('.json').name}"
            )
        at_rest = _perform_still(clip, truth, config)
        for identity in shipped_for(number, options.identities is None):
            print(f"{performance.name} drives {identity}", flush=True)
            sittings = _shipped(identity, everybody, config)
            sample = Sample(identity, performance.name)
            refused += trials.clip_trial(performance, truth, sittings, sample, scores)
            trials.still_trial(at_rest, sittings, sample, scores)
    return refused


def _perform_still(clip: Path, truth: Truth, config: Config) -> Performance:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / clip.name
        write_still(clip, calmest(truth), out)
        return perform(out, config)


def shipped_for(number: int, every_one: bool) -> list[str]:
    """Which shipped identities the clip of this number drives: every one, or its own."""
    folder = resources.files("realtime") / "identities"
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return names if every_one else [names[number % len(names)]]


def _shipped(identity: str, everybody: Sequence[Contestant], config: Config) -> list[Sitting]:
    store = IdentityStore(config.identities)
    canvas_hw = config.video.height_px, config.video.width_px
    return [
        Sitting(one, store.load(identity, one.reenactor, canvas_hw).encoded, find_face)
        for one in everybody
    ]


def _versions(options: Options) -> Mapping[str, object]:
    """What was run: options and the sha256 of all weights."""
    network = options.network
    hashes = {NETWORK: weights.read_manifest(network).files}
    if options.against is not None:
        hashes[AGAINST] = _check_against(network, options.against)
    asked = {
        "identities": options.identities or "all",
        "labels": str(options.labels) if options.labels else "searched now",
        "baselines": [COPY, WARP, GEOMETRY],
    }
    return {**asked, "weights_sha256": hashes}


def _check_against(network: str, folder: Path) -> dict[str, str]:
    """The sha256 of the files of `--against`, which are as their manifest says."""
    try:
        weights.verify(network, folder)
        return weights.read_manifest(network, folder).files
    except (WeightsError, OSError) as error:
        reason = str(error).removesuffix(": reinstall reenactd")
        raise SystemExit(
            f"--against {folder}: must hold {network} as engines/weights does, written by "
            f"engines.training.export --out {folder / network}; {reason}"
        ) from None


def _identities(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be all, or at least 2: one drives another"
        )
    return int(text)


def _png(text: str) -> Path:
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r}: must end in .png")
    return Path(text)


def main() -> None:
    """
    Raises:
        SystemExit: with one line that says what is wrong and what to do.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--identities", type=_identities, default=DEFAULT_IDENTITIES)
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--network", choices=NETWORKS, default=WARP_REFINE_LITE.name)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--failures", type=_png, help="a PNG of the worst pictures")
    parser.add_argument("--out", type=Path)
    options = Options(**vars(parser.parse_args()))
    try:
        report = evaluate(options)
    except (EngineError, ReenactdError) as error:
        raise SystemExit(str(error)) from None
    if options.out is not None:
        options.out.write_text(report.as_json() + "\n")
    finish(report)


if __name__ == "__main__":
    main()
