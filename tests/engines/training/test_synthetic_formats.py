"""MakeHuman's files as they are written, and meshes made smooth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.training.synthetic import formats
from engines.training.synthetic.subdivision import catmull_clark, split_uvs

CUBE = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int32
)
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
TRIANGLE = np.array([[0, 1, 2, 2]], np.int32)


def test_obj_keeps_groups_and_marks_triangles(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text(
        "# comment\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 .5\nvt 0 0\nvt 1 1\n"
        "g body\nf 1/1 2/2 3/2 4/1\ng helper-tights\nf 2/2 3/2 4/1\n"
    )
    mesh = formats.read_obj(path)
    assert mesh.vertices[3].tolist() == [0, 1, 0.5]
    assert mesh.faces.tolist() == [[0, 1, 2, 3], [1, 2, 3, 3]]
    assert mesh.face_uvs.tolist() == [[0, 1, 1, 0], [1, 1, 0, 0]]
    assert mesh.groups.tolist() == ["body", "helper-tights"]


def test_target_skips_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.target"
    path.write_text("# license\n7 .5 0 -1\n\n9 0 1e-3 0\n")
    target = formats.read_target(path)
    assert target.indices.tolist() == [7, 9]
    assert target.offsets == pytest.approx(np.array([[0.5, 0, -1], [0, 1e-3, 0]]))


def test_proxy_takes_both_kinds_of_rows_and_headers_among_them(tmp_path: Path) -> None:
    path = tmp_path / "hair.mhclo"
    path.write_text(
        "# comment\nobj_file hair.obj\nx_scale 5 6 1.5\nverts 0\ntag young\n"
        " 1 2 3 .2 .3 .5 0 .1 0\n4\ndelete_verts\n1 - 3\n"
    )
    proxy = formats.read_proxy(path)
    assert proxy.mesh == tmp_path / "hair.obj"
    assert proxy.scales == {0: (5, 6, 1.5)}
    assert proxy.corners.tolist() == [[1, 2, 3], [4, 4, 4]]
    assert proxy.shares[1].tolist() == [1, 0, 0]
    assert proxy.offsets[0] == pytest.approx([0, 0.1, 0])


def test_skeleton_has_parents_first_and_whole_weights(tmp_path: Path) -> None:
    bones = {
        "jaw": {"parent": "head", "head": "j"},
        "head": {"parent": "root", "head": "h"},
        "root": {"parent": None, "head": "r"},
    }
    joints = {"j": [0], "h": [1, 2], "r": [3]}
    (tmp_path / "a.mhskel").write_text(json.dumps({"bones": bones, "joints": joints}))
    table = {"weights": {"jaw": [[0, 0.5], [1, 0.25]], "root": [[1, 0.25]]}}
    (tmp_path / "a.mhw").write_text(json.dumps(table))
    skeleton = formats.read_skeleton(tmp_path / "a.mhskel", tmp_path / "a.mhw", 4)
    assert skeleton.names == ("root", "head", "jaw")
    assert skeleton.parents == (-1, 0, 1)
    assert skeleton.heads[1] == (1, 2)
    head_alone = [0, 1, 0]
    expected = [[0, 0, 1], [0.5, 0, 0.5], head_alone, head_alone]
    assert skeleton.weights.toarray() == pytest.approx(np.array(expected))


def test_pose_units_turn_about_y_up(tmp_path: Path) -> None:
    (tmp_path / "face-poseunits.json").write_text(json.dumps({"framemapping": ["Rest", "Jaw"]}))
    (tmp_path / "face-poseunits.bvh").write_text(
        "HIERARCHY\nROOT root\n{\nCHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation "
        "Zrotation\nJOINT jaw\n{\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\n}\n"
        "MOTION\nFrames: 2\nFrame Time: 0.04\n0 0 0 0 0 0 0 0 0\n0 0 0 0 0 0 0 0 90\n"
    )
    units = formats.read_pose_units(tmp_path)
    assert units["Rest"] == {}
    assert units["Jaw"]["jaw"] == pytest.approx([0, np.pi / 2, 0]), "z of the file is our y"


def test_a_cube_becomes_rounder() -> None:
    matrix, faces = catmull_clark(CUBE, len(CORNERS))
    points = matrix @ CORNERS
    assert points.shape == (8 + 12 + 6, 3) and faces.shape == (24, 4)
    # 5/9 is what the rule gives a cube's corner; an edge's middle moves to 3/4
    assert np.abs(points[:8]) == pytest.approx(np.full((8, 3), 5 / 9))
    assert sorted(np.abs(points[8]).tolist()) == pytest.approx([0, 0.75, 0.75])
    assert np.abs(points[20:]).max(axis=1) == pytest.approx(np.ones(6))


def test_new_faces_keep_their_outside() -> None:
    matrix, faces = catmull_clark(CUBE, len(CORNERS))
    a, b, _, d = np.moveaxis((matrix @ CORNERS)[faces], 1, 0)
    before = np.cross(*(CORNERS[CUBE[:, [1, 3]]] - CORNERS[CUBE[:, :1]]).transpose(1, 0, 2))
    outside = np.sign((before * CORNERS[CUBE].mean(axis=1)).sum(axis=1))
    after = np.sign((np.cross(b - a, d - a) * a).sum(axis=1))
    assert len(set(outside)) == 1 and set(after) == set(outside)


def test_a_triangle_gives_three_quads_and_unused_points_stay() -> None:
    points = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [9, 9, 9]], np.float32)
    matrix, faces = catmull_clark(TRIANGLE, len(points))
    moved = matrix @ points
    assert faces.shape == (3, 4)
    assert moved[3].tolist() == [9, 9, 9]
    assert moved[-1] == pytest.approx([2 / 3, 2 / 3, 0])


def test_uvs_split_like_their_faces() -> None:
    uvs = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    split, faces = split_uvs(TRIANGLE, TRIANGLE, uvs)
    corners = catmull_clark(TRIANGLE, 3)[1]
    assert faces.tolist() == corners.tolist()
    assert split[faces[0]].tolist()[0] == [0, 0]
    assert split[faces[:, 2]] == pytest.approx(np.full((3, 2), 1 / 3))
