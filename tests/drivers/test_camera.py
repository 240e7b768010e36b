from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from mediapipe.framework.formats import landmark_pb2

from engines import face_mesh
from realtime.clock import NS_PER_S
from realtime.config import Tracking
from realtime.drivers import camera
from realtime.drivers.camera import CameraDriver
from realtime.frames import U8, FaceTrack, NoFace, SourceFrame
from tests import performers

FPS = 25


@pytest.fixture
def driver() -> Iterator[CameraDriver]:
    made = CameraDriver(Tracking())
    yield made
    made.close()


def shown(rgb: U8, index: int = 0) -> SourceFrame:
    return SourceFrame(index, index * 3600, (100 + index) * NS_PER_S // FPS, rgb)


def side_by_side(left: U8 | None, right: U8 | None) -> U8:
    """A picture of 960x480 with one performer in each half, or a wall where there is none."""
    scene = np.full((480, 960, 3), 96, np.uint8)
    for person, begin in ((left, 0), (right, 480)):
        if person is not None:
            scene[:, begin : begin + 480] = person[:, 80:560]
    return scene


def is_left(face: FaceTrack | NoFace) -> bool | None:
    return bool(face.landmarks_px[1, 0] < 480) if isinstance(face, FaceTrack) else None


def test_landmarks_are_in_pixels_of_the_source(driver: CameraDriver) -> None:
    rgb = performers.pictures("performer2")[0]
    face = driver.track(shown(rgb))
    assert isinstance(face, FaceTrack)
    assert face.landmarks_px.shape == (478, 3)
    assert face.landmarks_px.dtype == np.float32
    assert 0.5 < face.confidence <= 1
    assert 40 < face_mesh.face_unit(face.landmarks_px) < 160
    x, y, _ = face.landmarks_px[1]
    skin = rgb[round(float(y)), round(float(x))].astype(int)
    assert skin[0] > skin[2] + 20  # the tip of the nose lies on skin


def test_large_pictures_are_tracked_small_and_answered_large(driver: CameraDriver) -> None:
    rgb = performers.pictures("performer2")[0]
    large = cv2.resize(rgb, (1920, 1440), interpolation=cv2.INTER_CUBIC)
    face, same = driver.track(shown(rgb)), camera.find_faces(rgb)[0]
    enlarged = driver.track(shown(np.asarray(large, np.uint8), 1))
    assert isinstance(face, FaceTrack) and isinstance(enlarged, FaceTrack)
    np.testing.assert_allclose(enlarged.landmarks_px / 3, same.landmarks_px, atol=4)


def test_an_empty_room_is_no_face(driver: CameraDriver) -> None:
    assert driver.track(shown(side_by_side(None, None))) == NoFace("none")


def test_noise_is_no_face(driver: CameraDriver) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    assert isinstance(driver.track(shown(noise)), NoFace)


def test_a_face_comes_back_after_a_loss(driver: CameraDriver) -> None:
    rgb = performers.pictures("performer1")[0]
    blank = np.full_like(rgb, 90)
    kinds = [type(driver.track(shown(blank if 3 <= i < 6 else rgb, i))) for i in range(10)]
    assert kinds[:3] == [FaceTrack] * 3
    assert kinds[3:6] == [NoFace] * 3
    assert kinds[-1] is FaceTrack


def test_a_far_face_is_too_small(driver: CameraDriver) -> None:
    rgb = performers.pictures("performer2")[0]
    scene = np.full((480, 640, 3), 96, np.uint8)
    scene[190:286, 256:384] = cv2.resize(rgb, (128, 96), interpolation=cv2.INTER_AREA)
    face = driver.track(shown(scene))
    assert isinstance(face, NoFace)
    assert face.reason in ("none", "too_small")


def test_a_person_who_joins_is_ignored(driver: CameraDriver) -> None:
    first, second = performers.pictures("performer2"), performers.pictures("performer3")
    sides = [
        is_left(driver.track(shown(side_by_side(second[i] if i > 10 else None, first[i]), i)))
        for i in range(40)
    ]
    assert sides == [False] * 40


def test_while_the_performer_is_hidden_nobody_else_takes_over(driver: CameraDriver) -> None:
    first, second = performers.pictures("performer2"), performers.pictures("performer3")
    sides = []
    for i in range(50):
        hidden = 10 <= i < 25
        scene = side_by_side(None if hidden else first[i], second[i])
        if i == 0:
            scene = side_by_side(first[i], None)
        sides.append(is_left(driver.track(shown(scene, i))))
    assert sides[:10] == [True] * 10
    assert True not in sides[11:25] and False not in sides
    assert sides[30:] == [True] * 20  # found again within a fifth of a second


def test_after_the_performer_has_left_somebody_else_may_take_the_place(
    driver: CameraDriver,
) -> None:
    first, second = performers.pictures("performer2"), performers.pictures("performer3")
    sides = [
        is_left(
            driver.track(
                shown(side_by_side(first[0], None) if i < 5 else side_by_side(None, second[0]), i)
            )
        )
        for i in range(80)
    ]
    assert sides[4] is True
    assert False not in sides[:40]
    assert sides[-20:] == [False] * 20


@pytest.mark.parametrize("size", [(480, 240), (240, 120), (640, 320)])
def test_a_camera_that_changes_its_size_keeps_its_face(
    driver: CameraDriver, size: tuple[int, int]
) -> None:
    """Its place is known in the old picture's pixels."""
    scene = side_by_side(None, performers.pictures("performer2")[0])
    faces = [driver.track(shown(scene, i)) for i in range(5)]
    other = np.asarray(cv2.resize(scene, size, interpolation=cv2.INTER_AREA), np.uint8)
    faces += [driver.track(shown(other, i)) for i in range(5, 15)]
    faces += [driver.track(shown(scene, i)) for i in range(15, 20)]
    assert all(isinstance(face, FaceTrack) for face in faces), faces


def test_a_camera_that_is_turned_sees_whoever_is_there(driver: CameraDriver) -> None:
    scene = side_by_side(None, performers.pictures("performer2")[0])
    for i in range(5):
        driver.track(shown(scene, i))
    upright = np.ascontiguousarray(performers.pictures("performer2")[0][:, 140:500])
    faces = [driver.track(shown(upright, i)) for i in range(5, 20)]  # 0.6 s: a face is kept longer
    assert isinstance(faces[-1], FaceTrack)


def test_stills_show_all_faces() -> None:
    both = side_by_side(performers.pictures("performer2")[0], performers.pictures("performer3")[0])
    assert len(camera.find_faces(both)) == 2
    assert len(camera.find_faces(performers.pictures("performer4")[0])) == 1
    assert camera.find_faces(np.full((300, 300, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("name", performers.NAMES)
def test_the_matte_covers_the_face_and_not_the_room(driver: CameraDriver, name: str) -> None:
    rgb = performers.pictures(name)[0]
    matte = driver.matte(shown(rgb))
    assert matte.shape == rgb.shape[:2]
    assert matte.dtype == np.float32
    assert 0 <= matte.min() and matte.max() <= 1
    face = camera.find_faces(rgb)[0].landmarks_px[:, :2].round().astype(int)
    assert (matte[face[:, 1], face[:, 0]] > 0.9).mean() > 0.9
    assert matte[5:60, 5:40].max() < 0.2


@pytest.mark.parametrize("name", performers.NAMES)
def test_every_frame_of_the_clips_is_tracked(name: str) -> None:
    assert np.isfinite(performers.landmarks(name)).all()  # `landmarks` asserts a face in each


def test_what_is_no_face_is_implausible() -> None:
    mean = face_mesh.load().mean_shape * 90 + np.array([320, 200, 0], np.float32)
    scrambled = mean[np.random.default_rng(0).permutation(478)]
    broken = mean.copy()
    broken[5] = np.nan
    far_left = mean - np.array([340, 0, 0], np.float32)
    judged = [
        camera._judge(np.asarray(points, np.float32), 640, 480)
        for points in (mean, scrambled, broken, far_left, mean * 0.1)
    ]
    assert isinstance(judged[0], FaceTrack) and judged[0].confidence == pytest.approx(1, abs=1e-3)
    reasons = [face.reason for face in judged[1:] if isinstance(face, NoFace)]
    assert reasons == ["implausible", "implausible", "low_confidence", "too_small"]


def test_points_are_read_from_the_wire_as_from_the_message() -> None:
    landmarks = landmark_pb2.NormalizedLandmarkList()
    rng = np.random.default_rng(0)
    expected = rng.normal(0, 1, (478, 3)).astype(np.float32)
    expected[0] = 0
    for x, y, z in expected.tolist():
        landmarks.landmark.add(x=x, y=y, z=z)
    np.testing.assert_array_equal(camera._points(landmarks), expected)
    landmarks.landmark[3].visibility = 0.5  # another length on the wire
    np.testing.assert_array_equal(camera._points(landmarks), expected)


def test_start_up_chatter_is_held_back_and_other_lines_are_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with camera._quiet_stderr():
        os.write(2, b"W0000 00:00:1 1 some.cc:1] chatter\nINFO: Created TensorFlow Lite XNNPACK\n")
        os.write(2, b"a warning of somebody else\n")
    assert capfd.readouterr().err == "a warning of somebody else\n"


def test_a_start_that_hangs_holds_nobody_up(capfd: pytest.CaptureFixture[str]) -> None:
    hush, released, began = camera._Hush(held_s=0.2), threading.Event(), threading.Event()

    def hang() -> None:
        with hush():
            began.set()
            released.wait(30)

    hung = threading.Thread(target=hang)
    hung.start()
    assert began.wait(10)
    with hush():  # another's start goes on beside it
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK\na line of the log\n")
    deadline = time.monotonic() + 10
    said = ""
    while not said and time.monotonic() < deadline:
        said = capfd.readouterr().err
        time.sleep(0.01)
    assert said == "a line of the log\n", "while the first one still hangs"
    with hush():
        os.write(2, b"W0000 00:00:1 1 some.cc:1] chatter\n")
    released.set()
    hung.join(10)
    os.write(2, b"and after it\n")
    assert capfd.readouterr().err == "and after it\n"


def test_tracking_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    made = CameraDriver(Tracking())
    for index in range(3):
        made.track(shown(performers.pictures("performer1")[index], index))
    made.matte(shown(performers.pictures("performer1")[0]))
    made.close()
    assert capfd.readouterr().err == ""
