"""From files to frames, with a tiny figure: a ball for a head, and one of everything it wears."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.training.synthetic import expressions, people
from engines.training.synthetic.assets import SUMS
from engines.training.synthetic.expressions import Shot
from engines.training.synthetic.frames import Job, name_of, render
from engines.training.synthetic.makehuman import Figure, Proxy, skin
from engines.training.synthetic.scene import Model, Scene, head_turns, narrowed

pytestmark = pytest.mark.train

SIZE = 64
RINGS, AROUND = 8, 12
BONES = {
    "root": None,
    "neck01": "root",
    "neck02": "neck01",
    "neck03": "neck02",
    "head": "neck03",
    "jaw": "head",
    "eye.L": "head",
    "eye.R": "head",
    "oris05": "head",
}
NUMBER = 20001
NEUTRAL = Shot({}, 0, 0, 0, (0, 0))
HAIR = {name.split("/")[1] for name in SUMS if name.startswith("hair/")}
SKINS = [name for name in SUMS if name.startswith("skins/")]


def ball() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices on a head-sized ball where MakeHuman's head is, and its quads, seen from outside."""
    tilt = np.linspace(0.05, np.pi - 0.05, RINGS)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    t, u = np.meshgrid(tilt, turn, indexing="ij")
    points = np.stack([np.sin(t) * np.sin(u), np.cos(t), np.sin(t) * np.cos(u)], axis=-1)
    index = np.arange(RINGS * AROUND).reshape(RINGS, AROUND)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], index[1:], right[1:], right[:-1]], axis=-1)
    return points.reshape(-1, 3) * 0.9 + [0, 7, 0], quads.reshape(-1, 4)


def write_obj(
    path: Path, points: NDArray[np.float64], groups: dict[str, NDArray[np.int64]]
) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in points] + ["vt .5 .5"]
    for group, quads in groups.items():
        lines += [f"g {group}"]
        lines += ["f " + " ".join(f"{i + 1}/1" for i in quad) for quad in quads]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_rig(assets: Path, points: NDArray[np.float64]) -> None:
    places = {"eye.L": (0.3, 7.2, 0.8), "eye.R": (-0.3, 7.2, 0.8), "oris05": (0, 6.7, 0.9)}
    joints = {
        bone: [int(np.linalg.norm(points - places.get(bone, (0, 6.2, 0)), axis=1).argmin())]
        for bone in BONES
    }
    bones = {bone: {"parent": parent, "head": bone} for bone, parent in BONES.items()}
    low = [[int(i), 1.0] for i in np.flatnonzero(points[:, 1] < 6.6)]
    (assets / "rigs").mkdir()
    (assets / "rigs/default.mhskel").write_text(json.dumps({"bones": bones, "joints": joints}))
    (assets / "rigs/default_weights.mhw").write_text(json.dumps({"weights": {"jaw": low}}))


def write_units(assets: Path) -> None:
    """Every unit that frames use; each turns the jaw, by a degree more than the one before."""
    used = set().union(*(mouth for _, mouth in expressions.MOUTHS.values()), *expressions.BROWS)
    used |= set(expressions.VISEMES) | set(expressions.BLINK) | set(expressions.OPEN_SMILE)
    used |= {f"{s}{u}" for s in ("Left", "Right") for u in ("EyeUp", "EyeDown", "UpperLidOpen")}
    used |= {f"{s}Eyeturn{d}" for s in ("Left", "Right") for d in ("Left", "Right")}
    used |= set(expressions.resting(np.random.default_rng(0), 0))
    units = sorted(name for name in used if not name.startswith("T:"))
    frames = [f"{i} 0 0" for i in range(len(units))]
    (assets / "poseunits").mkdir()
    (assets / "poseunits/face-poseunits.json").write_text(json.dumps({"framemapping": units}))
    (assets / "poseunits/face-poseunits.bvh").write_text(
        "ROOT jaw\nCHANNELS 3 Xrotation Yrotation Zrotation\n"
        "MOTION\nFrames: 1\nFrame Time: 1\n" + "\n".join(frames) + "\n"
    )
    for name in used - set(units):
        for family in ("african", "asian", "caucasian"):
            write_target(assets, f"expression/units/{family}/{name[2:]}", "0 0 .02 0\n")


def write_target(assets: Path, name: str, content: str) -> None:
    path = assets / f"targets/{name}.target"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def write_proxy(assets: Path, name: str, picture: str) -> None:
    """A small quad that sticks to the front of the ball."""
    folder = assets / name
    stem = folder.name
    corners = np.array([[-0.2, 0, 0.1], [0.2, 0, 0.1], [0.2, 0.2, 0], [-0.2, 0.2, 0]])
    front = RINGS // 2 * AROUND
    write_obj(folder / f"{stem}.obj", corners, {stem: np.arange(4)[None]})
    rows = [f"{front} 1 2 1 0 0 {x} {y} {z}" for x, y, z in corners]
    (folder / f"{stem}.mhclo").write_text(f"obj_file {stem}.obj\nverts 0\n" + "\n".join(rows))
    write_picture(assets / picture)


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if path.suffix == ".png" else "RGB", (4, 4), "tan").save(path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = tmp_path_factory.mktemp("assets")
    points, quads = ball()
    shirt = np.array([[-2, 4.5, 0.1], [2, 4.5, 0.1], [2, 5.5, 0.1], [-2, 5.5, 0.1]])
    groups = {"body": quads, "helper-tights": len(points) + np.arange(4)[None]}
    write_obj(assets / "3dobjs/base.obj", np.concatenate([points, shirt]), groups)
    write_rig(assets, points)
    write_units(assets)
    ancestry = dict.fromkeys(("african", "asian", "caucasian"), 1 / 3)
    for low, high in ((0.1, 0.1), (0.9, 0.9), (0.1, 0.9), (0.9, 0.1)):
        for name in people.macro_targets(ancestry, 0.5, 0.5, low, high):
            write_target(assets, name, "0 0 0 0\n")
    for way in ("incr", "decr"):
        write_target(assets, f"chin/chin-width-{way}", "5 .01 0 0\n")
    write_proxy(assets, "teeth/teeth_base", "teeth/materials/teeth.png")
    write_proxy(assets, "tongue/tongue01", "tongue/tongue01/tongue01_diffuse.png")
    write_proxy(assets, "eyes/high-poly", "eyes/materials/brown_eye.png")
    for name in people.EYES:
        write_picture(assets / f"eyes/materials/{name}_eye.png")
    for folder, names in (("eyebrows", people.BROWS), ("eyelashes", people.LASHES)):
        for name in names:
            write_proxy(assets, f"{folder}/{name}", f"{folder}/{name}/{name}.png")
    for name in HAIR:
        write_proxy(assets, f"hair/{name}", f"hair/{name}/{name}_diffuse.png")
    for name in SKINS:
        write_picture(assets / name)
    return assets


@pytest.fixture(scope="module")
def scene(tiny: Path) -> Scene:
    return Scene(tiny, SIZE)


@pytest.fixture(scope="module")
def model(tiny: Path, scene: Scene) -> Model:
    return scene.model(people.person(NUMBER, people.detail_targets(tiny)))


def test_targets_and_bones_move_what_they_should(tiny: Path) -> None:
    figure = Figure(tiny)
    shaped = figure.morph({"chin/chin-width-incr": 2.0, "chin/chin-width-decr": 1e-5})
    moved = np.flatnonzero(np.abs(shaped - figure.mesh.vertices).max(axis=1))
    assert moved.tolist() == [5]
    assert shaped[5, 0] - figure.mesh.vertices[5, 0] == pytest.approx(0.02, abs=1e-6)
    bones = figure.pose(shaped, {"JawDrop": 1.0}, {})
    posed = skin(shaped, figure.skeleton.weights, bones)
    stays = figure.skeleton.weights[:, figure.skeleton.index("jaw")].toarray().ravel() == 0
    assert posed[stays] == pytest.approx(shaped[stays], abs=1e-5)
    assert np.abs(posed - shaped)[~stays].max() > 0.02


def test_a_joint_stays_where_its_bone_turns(tiny: Path) -> None:
    figure = Figure(tiny)
    rest = figure.mesh.vertices
    joint = figure.joint(rest, "jaw")
    bone = figure.pose(rest, {"JawDrop": 1.0}, {})[figure.skeleton.index("jaw")]
    assert bone[:, :3] @ joint + bone[:, 3] == pytest.approx(joint, abs=1e-5)


def test_a_proxy_follows_its_corners_and_their_bones(tiny: Path) -> None:
    figure = Figure(tiny)
    proxy = Proxy(figure, tiny / "teeth/teeth_base/teeth_base.mhclo")
    shift = np.array([0.1, 0.2, 0.3], np.float32)
    moved = proxy.fit(figure.mesh.vertices + shift) - proxy.fit(figure.mesh.vertices)
    assert moved == pytest.approx(np.tile(shift, (4, 1)), abs=1e-5)
    assert proxy.weights.sum(axis=1) == pytest.approx(np.ones((4, 1)))


def test_the_dental_arch_narrows_to_the_back_alone() -> None:
    front, back = [1.0, 0, 0.5], [-1.0, 0, -0.5]
    teeth = np.array([front, [-1.0, 0, 0.5], [1.0, 0, -0.5], back], np.float32)
    changed = narrowed(teeth)
    assert changed[:2] == pytest.approx(teeth[:2])
    assert np.abs(changed[2:, 0]) == pytest.approx([0.7, 0.7])
    assert changed[:, 1:] == pytest.approx(teeth[:, 1:])


def test_heads_turn_the_way_that_is_written_down(tiny: Path) -> None:
    figure = Figure(tiny)

    def forward(shot: Shot) -> np.ndarray:
        moved = figure.pose(figure.mesh.vertices, {}, head_turns(shot))
        column: np.ndarray = moved[figure.skeleton.index("head")][:, 2]
        return column

    for degrees in (-30, 30):
        assert forward(Shot({}, degrees, 0, 0, (0, 0)))[0] == pytest.approx(degrees / 60, abs=1e-3)
    down = forward(Shot({}, 0, 20, 0, (0, 0)))
    assert down == pytest.approx([0, -np.sin(np.radians(20)), np.cos(np.radians(20))], abs=1e-3)


def test_a_person_stands_free_and_looks_the_same_again(scene: Scene, model: Model) -> None:
    picture = scene.photograph(model, NEUTRAL)
    assert picture.shape == (SIZE, SIZE, 4) and picture.dtype == np.uint8
    alpha = picture[..., 3]
    assert alpha[SIZE // 2, SIZE // 2] == 255 and alpha[0, 0] == alpha[0, -1] == 0
    assert ((alpha > 0) & (alpha < 255)).any(), "soft edges"
    opened = scene.photograph(model, Shot({"JawDrop": 1.0}, 0, 0, 0, (0, 0)))
    assert not np.array_equal(opened, picture)
    assert np.array_equal(scene.photograph(model, NEUTRAL), picture)


def test_two_scenes_do_not_disturb_each_other(tiny: Path, scene: Scene, model: Model) -> None:
    before = scene.photograph(model, NEUTRAL)
    other = Scene(tiny, SIZE // 2)
    assert other.photograph(other.model(model.person), NEUTRAL).shape == (SIZE // 2, SIZE // 2, 4)
    assert np.array_equal(scene.photograph(model, NEUTRAL), before)


def test_a_soft_edge_carries_no_background(scene: Scene, model: Model) -> None:
    picture = scene.photograph(model, NEUTRAL).astype(int)
    checked = 0
    for row in picture[SIZE // 4 : SIZE // 2]:
        left = int(np.flatnonzero(row[:, 3] > 30)[0])
        if row[left, 3] < 200:
            checked += 1
            assert row[left, :3].sum() > 0.5 * row[left + 2, :3].sum(), "black showed through"
    assert checked


def test_the_camera_shifts(scene: Scene, model: Model) -> None:
    def middle(shot: Shot) -> float:
        mass = scene.photograph(model, shot)[: SIZE // 2, :, 3].sum(axis=0, dtype=float)
        return float((mass * np.arange(SIZE)).sum() / mass.sum())

    assert middle(Shot({}, 0, 0, 0, (0.3, 0))) < middle(NEUTRAL) - 2, "the camera went right"


def test_a_stopped_run_goes_on(tiny: Path, tmp_path: Path) -> None:
    told: list[str] = []
    job = Job(tiny, tmp_path, range(NUMBER, NUMBER + 2), 2, SIZE)
    render(job, told.append)
    names = [name_of(number, frame) for number in job.numbers for frame in range(2)]
    assert told == names
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(whole) == {*names, "meta.json"}
    (tmp_path / names[1]).unlink()
    (tmp_path / names[2]).write_bytes(b"finished: not rendered again")
    render(job, told.append)
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert again == whole | {names[2]: b"finished: not rendered again"}


def test_frames_are_described_as_they_are(tiny: Path, tmp_path: Path) -> None:
    render(Job(tiny, tmp_path, [NUMBER + 1], 1, SIZE), print)
    render(Job(tiny, tmp_path, [NUMBER], 2, SIZE), print)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert [entry["file"] for entry in meta] == ["20001_00.webp", "20001_01.webp", "20002_00.webp"]
    first, blink = meta[:2]
    assert set(first) == {
        *("file", "identity", "yaw_deg", "pitch_deg", "roll_deg"),
        *("male", "age", "race", "hair", "expression"),
    }
    assert first["identity"] == NUMBER and first["yaw_deg"] == 0
    assert blink["expression"]["LeftUpperLidClosed"] == 1
    with Image.open(tmp_path / first["file"]) as picture:
        assert picture.size == (SIZE, SIZE) and picture.mode == "RGBA"
