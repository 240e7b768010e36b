"""Scores, verdicts and trials: two drawn people, no tracker, no network."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines import face_mesh, weights
from engines.models import Memory, geometry_only
from engines.training import evaluate, results, trials
from engines.training.contestants import COPY, GEOMETRY, NETWORK, WARP, Contestant, Sitting
from engines.training.people import Find, Person, read_people
from engines.training.performances import Performance, calmest, pose_motions, write_still
from engines.training.results import flat
from engines.training.samples import exact_placement
from engines.training.scores import Sample, Scores, bootstrap
from engines.warp import Placement
from realtime.config import Config
from tests.engines import faces

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

EYES = (
    (face_mesh.RIGHT_EYE_UPPER, face_mesh.RIGHT_EYE_LOWER),
    (face_mesh.LEFT_EYE_UPPER, face_mesh.LEFT_EYE_LOWER),
)
PORTRAIT, OTHER = "10009_00.webp", "10009_01.webp"


def never(rgb: U8) -> F32 | None:
    return None


def always(rgb: U8) -> F32 | None:
    return faces.landmarks()


def moved(pixels: float) -> F32:
    landmarks = faces.landmarks()
    landmarks[:, 0] += pixels
    return landmarks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two held-out people of two frames, and one of the training set."""
    folder = tmp_path_factory.mktemp("faces")
    picture = Image.fromarray(faces.portrait())
    for name in ("10001", "10009", "10019"):
        for frame in range(2):
            picture.save(folder / f"{name}_{frame:02d}.webp", lossless=True, method=0)
    return folder


@pytest.fixture(scope="module")
def person(data: Path) -> Person:
    return Person("10009", data, {PORTRAIT: faces.landmarks(), OTHER: faces.landmarks()})


def everybody() -> list[Contestant]:
    geometry = geometry_only()
    return [
        Contestant(COPY, geometry, moves=False),
        Contestant(GEOMETRY, geometry),
        Contestant(NETWORK, geometry),
    ]


@pytest.fixture(scope="module")
def sittings(person: Person) -> list[Sitting]:
    """All three show the one identity: encoding it is what takes time."""
    (one,) = trials.sit(person, everybody()[1:2], always)
    return [Sitting(contestant, one.identity, always) for contestant in everybody()]


def seen(sittings: list[Sitting], find: Find) -> list[Sitting]:
    """The same sittings, in whose outputs this is found."""
    return [Sitting(one.contestant, one.identity, find) for one in sittings]


def frames_of(clip: Path, first: int = 0, count: int | None = None) -> list[U8]:
    stop = None if count is None else first + count
    with av.open(str(clip)) as container:
        frames = islice(container.decode(video=0), first, stop)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


def test_an_interval_is_over_people_not_over_frames() -> None:
    """A thousand frames of one person weigh as much as one frame of another."""
    values = {Sample("a", str(i)): 0.0 for i in range(1000)} | {Sample("b", "0"): 1.0}
    found = bootstrap(values)
    assert found is not None
    assert found == (0.5, 0.0, 1.0, 2, 1001)


def test_an_interval_of_many_people_is_that_of_the_normal_distribution() -> None:
    random = np.random.default_rng(3)
    values = {Sample(str(i), ""): float(v) for i, v in enumerate(random.normal(7, 2, 400))}
    found = bootstrap(values)
    assert found is not None
    half = 1.96 * np.std(list(values.values())) / math.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    assert bootstrap(values) == found, "the seed is fixed"
    assert bootstrap({}) is None


def test_a_gain_is_taken_over_the_samples_that_both_have() -> None:
    scores = Scores()
    for frame, own, other in (("0", 5.0, 3.0), ("1", 6.0, 5.0), ("2", math.nan, 100.0)):
        scores.add("m", NETWORK, Sample("a", frame), own)
        scores.add("m", GEOMETRY, Sample("a", frame), other)
    gain = scores.gain("m", NETWORK, GEOMETRY)
    assert gain is not None and gain.mean == 1.5 and gain.samples == 2
    assert scores.gain("m", NETWORK, "nobody") is None


def test_held_out_people_are_read_and_frames_without_a_face_are_named(data: Path) -> None:
    answers = iter([faces.landmarks(), None, faces.landmarks(), faces.landmarks()])
    people, faceless = read_people(data, None, None, lambda rgb: next(answers))
    assert [person.name for person in people] == ["10009", "10019"]
    assert faceless == [OTHER]
    assert [person.driving() for person in people] == [[], ["10019_01.webp"]]


def test_labels_take_the_place_of_the_search(data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.npz"
    names = np.array([PORTRAIT, "10019_01.webp"])
    np.savez(labels, names=names, landmarks=np.stack([moved(1.0), moved(2.0)]))
    people, faceless = read_people(data, labels, None, never)
    assert [person.name for person in people] == ["10009"], "10019 has no labelled portrait"
    assert faceless == [OTHER, "10019_00.webp"]
    assert people[0].landmarks[PORTRAIT] == pytest.approx(moved(1.0))


def test_fewer_people_are_spread_evenly(data: Path) -> None:
    people, _ = read_people(data, None, 1, always)
    assert [person.name for person in people] == ["10009"]


def test_driven_to_itself_a_portrait_is_the_target(person: Person, sittings: list[Sitting]) -> None:
    scores = Scores()
    trials.self_trial(person, seen(sittings, lambda rgb: moved(2.6)), scores)
    for name, at_least in ((COPY, 45.0), (GEOMETRY, 25.0)):
        psnr = scores.interval("self_mouth_psnr_db", name)
        akd = scores.interval("self_akd_to_25_percent", name)
        assert psnr is not None and psnr.mean > at_least, name
        assert akd is not None and akd.mean == pytest.approx(2.0, abs=0.01), "2.6 of 130 pixels"
    assert scores.interval("self_akd_25_to_40_percent", GEOMETRY) is None


def test_outputs_without_a_face_are_counted_and_still_compared(
    person: Person, sittings: list[Sitting]
) -> None:
    scores = Scores()
    trials.self_trial(person, seen(sittings[:2], never), scores)
    assert scores.missing == {("self", COPY): 1, ("self", GEOMETRY): 1} == scores.shown
    assert scores.interval("self_akd_percent", GEOMETRY) is None
    assert scores.interval("self_whole_psnr_db", GEOMETRY) is not None


def test_placement_undoes_what_the_identity_did_to_the_portrait() -> None:
    """A large face is shrunk inside; it is placed where it was all the same."""
    own = faces.landmarks(unit_px=130.0)
    identity = geometry_only().encode_identity(faces.portrait(), own, (160, 160))
    placement = exact_placement(identity, own, own)
    back = identity.landmarks[:, :2] @ placement.torso[:, :2].T + placement.torso[:, 2]
    assert face_mesh.face_unit(identity.landmarks) < 0.99 * face_mesh.face_unit(own)
    assert back == pytest.approx(own[:, :2], abs=0.01)
    assert placement.head.apply(identity.landmarks) == pytest.approx(own, abs=0.05)


@pytest.mark.parametrize(
    ("degrees", "name"), [(0, "to_25"), (-24, "to_25"), (30, "25_to_40"), (-50, "beyond_40")]
)
def test_turns_fall_into_their_range(sittings: list[Sitting], degrees: float, name: str) -> None:
    identity, own = sittings[1].identity, faces.landmarks()
    turned = (own @ faces.yaw(degrees).T).astype(np.float32)
    assert trials.yaw_range(exact_placement(identity, own, turned)) == name


def test_another_person_drives_from_its_own_neutral(person: Person) -> None:
    """The neutral itself moves nothing; a turned head turns."""
    turned = (faces.landmarks() - [256, 215, 0]) @ faces.yaw(15).T + [256, 215, 0]
    driver = Person("10019", person.folder, {"n": faces.landmarks(), "t": turned})
    at_rest, away = pose_motions(driver, ["n", "t"], Config())
    assert at_rest is not None and away is not None
    assert at_rest.rotation == pytest.approx(np.eye(3), abs=0.05)
    assert np.abs(at_rest.expression).max() < 0.03
    assert abs(math.asin(-float(away.rotation[2, 0]))) == pytest.approx(math.radians(15), rel=0.1)


def test_a_pose_is_held_until_it_is_reached(person: Person) -> None:
    """The first frame is measured from the portrait, and nothing of the size lags behind."""
    raised, near = faces.landmarks(), 1.15 * faces.landmarks()
    raised[[105, 334], 1] -= 13  # the brows, by a tenth of the unit
    driver = Person("10019", person.folder, {"p": faces.landmarks(), "r": raised, "n": near})
    up, nearer = pose_motions(driver, ["r", "n"], Config())
    assert up is not None and nearer is not None
    assert up.expression[105, 1] == pytest.approx(-0.1, abs=0.02)
    assert nearer.scale == pytest.approx(1.15, rel=0.005)


def test_crossing_scores_every_contestant_on_the_same_frames(
    person: Person, sittings: list[Sitting]
) -> None:
    scores = Scores()
    assert trials.cross_trial(person, person, [OTHER], sittings, scores) == 0
    assert scores.shown == {("cross", name): 1 for name in (COPY, GEOMETRY, NETWORK)}


def test_who_has_drifted_from_the_portrait_is_told_from_who_has_not(
    person: Person, sittings: list[Sitting]
) -> None:
    """One contestant shows another skin, and another mouth is found in its output."""
    identity, long_faced = sittings[0].identity, faces.landmarks()
    long_faced[face_mesh.LIPS_OUTER_LOWER, 1] += 13
    dark = identity.portrait_rgba.copy()
    dark[..., :3] //= 4
    scores = Scores()
    changed = Sitting(
        Contestant(NETWORK, sittings[0].contestant.reenactor, moves=False),
        replace(identity, portrait_rgba=dark),
        lambda rgb: long_faced,
    )
    same = Sitting(replace(changed.contestant, name=WARP), identity, always)
    trials.neutral_trial(person, [*seen(sittings[:1], always), same, changed], scores)
    for measure, at_least in (("neutral_colour", 0.5), ("neutral_shape_percent", 0.1)):
        drifted, stayed = scores.interval(measure, NETWORK), scores.interval(measure, WARP)
        assert drifted is not None and drifted.mean > at_least, measure
        assert stayed is not None and stayed.mean == pytest.approx(0, abs=1e-4), measure


def test_nobody_who_stands_still_flickers(sittings: list[Sitting]) -> None:
    count = 18
    film = np.repeat(faces.landmarks()[None], count, axis=0)
    blinking = [np.full((512, 512), 90 + 2 * (i % 2), np.uint8) for i in range(count)]
    performance = Performance("still", blinking, film, [faces.still()] * count)
    scores = Scores()
    trials.still_trial(performance, sittings[1:2], Sample("a", "still"), scores)
    own = scores.interval("still_flicker_levels", GEOMETRY)
    performed = scores.interval("still_flicker_levels", trials.INPUT)
    assert own is not None and own.mean == 0
    assert performed is not None and performed.mean == 4


def test_only_who_is_steadied_live_is_steadied_in_a_sequence(sittings: list[Sitting]) -> None:
    """Geometry is the baseline, and is shown as it is."""
    geometry = sittings[1]
    network = Sitting(replace(geometry.contestant, steadied=True), geometry.identity, always)
    target, drawn = geometry.identity.target, []
    trembling = [
        replace(faces.still(), translation=np.array([0.002 * i, 0], np.float32)) for i in (0, 1)
    ]
    first, second = (target.place(motion) for motion in trembling)
    for sitting in (geometry, network):
        alone, memory = sitting.draw(second, first.torso), Memory()
        sitting.draw(first, first.torso, memory)
        drawn.append((sitting.draw(second, first.torso, memory) != alone).any())
    assert drawn == [False, True]


def test_a_clip_is_followed_where_a_face_was_found() -> None:
    wanted = np.repeat(faces.landmarks(100.0)[None], 30, axis=0)
    jaw = np.sin(np.linspace(0, 9, 30)) / 2 + 0.5
    wanted[:, 14, 1] += 20 * jaw
    found: list[F32 | None] = list(wanted)
    found[3] = None
    scored = trials.follows(trials.Drawn([], wanted, found), jaw, np.zeros(30))
    assert scored["clips_lip_gap_r"] == pytest.approx(1)
    assert scored["clips_lip_gap_truth_r"] == pytest.approx(1, abs=0.01)
    assert scored["clips_eye_aspect_r"] == 0, "lids that never move follow nothing"
    assert scored["clips_akd_percent"] == 0


def test_lids_follow_a_blink() -> None:
    blink = np.clip(np.sin(np.linspace(0, 20, 40)), 0, 1)
    wanted = np.repeat(faces.landmarks(100.0)[None], 40, axis=0)
    for upper, lower in EYES:
        gaps = wanted[:, list(lower), 1] - wanted[:, list(upper), 1]
        wanted[:, list(upper), 1] += gaps * blink[:, None]
    scored = trials.follows(trials.Drawn([], wanted, list(wanted)), np.zeros(40), blink)
    assert scored["clips_eye_aspect_truth_r"] == pytest.approx(1, abs=0.02)
    assert scored["clips_eye_aspect_r"] == pytest.approx(1)


def test_an_unchanged_picture_is_searched_once(sittings: list[Sitting]) -> None:
    asked: list[U8] = []

    def find(rgb: U8) -> F32 | None:
        asked.append(rgb)
        return None

    sitting = Sitting(sittings[0].contestant, sittings[0].identity, find)
    rest = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    for pixels in (0.0, 5.0):
        placement = Placement(
            moved(pixels), sitting.identity.target.place(faces.still()).head, rest
        )
        sitting.landmarks_in(sitting.draw(placement, rest))
    assert len(asked) == 1


def test_the_calmest_frame_is_at_rest() -> None:
    quiet = {"jaw": 0.1, "smile": 0.0, "blink": 0.0, "yaw_deg": 1.0}
    assert calmest([{**quiet, "jaw": 0.9}, {**quiet, "yaw_deg": -30.0}, quiet]) == 2


def test_a_still_clip_is_one_frame_with_ever_new_noise(
    performer_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "still.mp4"
    write_still(performer_clip, 7, out, count=4)
    pictures, original = frames_of(out), frames_of(performer_clip, first=7, count=1)[0]
    assert len(pictures) == 4
    changes = [np.abs(np.subtract(a, b, dtype=float)).mean() for a, b in pairwise(pictures)]
    assert all(0 < change < 5 for change in changes)
    assert all(np.abs(np.subtract(p, original, dtype=float)).mean() < 5 for p in pictures)


def test_each_clip_drives_one_shipped_identity_or_all_of_them() -> None:
    named = [evaluate.shipped_for(number, every_one=False) for number in range(4)]
    everybody = evaluate.shipped_for(0, every_one=True)
    assert len(everybody) == 4 and [names[0] for names in named] == everybody


def test_verdicts_name_what_is_worse_and_what_is_unsure() -> None:
    scores = Scores()
    for number in range(8):
        sample = Sample(str(number), "0")
        for name, psnr, akd, ssim in ((GEOMETRY, 20.0, 2.0, 0.5), (NETWORK, 24.0, 3.0, 0.5)):
            scores.add("self_mouth_psnr_db", name, sample, psnr)
            scores.add("self_akd_to_25_percent", name, sample, akd)
            scores.add("self_whole_ssim", name, sample, ssim)
    worse, unsure, mouth, akd_line = results.verdicts(scores)
    assert worse == "worse than geometry: self_akd_to_25_percent"
    assert unsure == "no difference that the interval shows: self_whole_ssim"
    assert "+4.00 dB" in mouth and "3.00 %" in akd_line


def test_figures_are_flat_numbers_that_json_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    scores = Scores()
    scores.add("self_whole_psnr_db", NETWORK, Sample("a", "0"), 30.0)
    scores.looked_for_face("self", NETWORK, found=False)
    figures = results.flat(scores, (GEOMETRY, NETWORK))
    assert figures["self_whole_psnr_db.network_low"] == 30.0
    assert figures["self_missing_faces.network"] == 1
    assert not any(name.endswith("gain") for name in figures)
    json.dumps(figures, allow_nan=False)
    results.show(scores, (GEOMETRY, NETWORK))
    assert "30.00" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["1", "0", "-3", "many"])
def test_too_few_identities_are_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", "--data", ".", f"--identities={text}"])
    with pytest.raises(SystemExit):
        evaluate.main()
    assert "one drives another" in capsys.readouterr().err


def told(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    """What the evaluation says when it refuses to begin."""
    monkeypatch.setattr("sys.argv", ["evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        evaluate.main()
    text = ended.value.code
    assert isinstance(text, str) and "\n" not in text
    return text


def test_data_without_two_held_out_people_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "2 or more" in told(monkeypatch, "--data", tmp_path / "mistyped")
    labels = tmp_path / "labels.npz"
    np.savez(labels, names=np.array([PORTRAIT]), landmarks=faces.landmarks()[None])
    text = told(monkeypatch, "--data", data, "--labels", labels)
    assert f"{data}: 1 held-out people" in text and "ends in 9" in text


def test_labels_that_cannot_be_read_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.npz"
    assert str(path) in told(monkeypatch, "--data", data, "--labels", path)
    for content in (b"", b"no labels", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        assert "engines.training.labels" in told(monkeypatch, "--data", data, "--labels", path)
    np.savez(path, other=np.zeros(1))
    assert "names" in told(monkeypatch, "--data", data, "--labels", path)


def test_other_weights_that_cannot_be_read_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--data", data, "--against", tmp_path)
    assert "manifest.json: missing" in told(monkeypatch, *asked)
    network = "warp-refine-lite"
    shutil.copytree(weights.WEIGHTS_DIRECTORY / network, tmp_path / network)
    (tmp_path / network / "drive.onnx").write_bytes(b"")
    text = told(monkeypatch, *asked)
    assert "damaged" in text and "engines.training.export" in text and "reinstall" not in text


def test_clips_that_cannot_be_read_are_refused(
    performer_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--data", ".", "--clips", tmp_path)
    assert "holds no *.mp4" in told(monkeypatch, *asked)
    clip, truth = tmp_path / "a.mp4", tmp_path / "a.json"
    clip.write_bytes(b"no video")
    assert f"{clip}: cannot be read" in told(monkeypatch, *asked)
    shutil.copyfile(performer_clip, clip)
    for content in (None, "", "{}x", "[1]", '[{"jaw": 0}]'):
        if content is not None:
            truth.write_text(content)
        text = told(monkeypatch, *asked)
        assert str(truth) in text and "must be a list" in text


def test_a_frame_without_a_face_shifts_no_other(person: Person) -> None:
    names = [f"10009_{number:02d}.webp" for number in (0, 2, 3, 4, 11)]
    driver = replace(person, landmarks=dict.fromkeys(names, faces.landmarks()))
    assert driver.numbered(evaluate.CROSS_FRAMES) == [names[1], names[2], names[4]]


def test_the_names_that_other_tools_rely_on_stand_beside_ours() -> None:
    scores = Scores()
    for name, value in ((NETWORK, 24.0), (GEOMETRY, 21.0), (COPY, 16.0), (WARP, 20.5)):
        scores.add("self_mouth_psnr_db", name, Sample("a", "0"), value)
    figures = flat(scores, (COPY, WARP, GEOMETRY, NETWORK))
    assert figures["self_mouth_psnr_db"] == figures["self_mouth_psnr_db.network"] == 24
    assert figures["self_mouth_psnr_db_geometry"] == 21
    assert figures["self_mouth_psnr_db_copy"] == 16
    assert figures["self_mouth_psnr_db.gain"] == 3
    assert figures["self_mouth_psnr_db.gain_over_warp"] == 3.5
    assert "self_akd_pct" not in figures, "what was not measured is not said"
