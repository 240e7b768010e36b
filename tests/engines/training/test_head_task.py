"""The head network is taught on what it meets live, and by a loss that knows no side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import crop, face_mesh, head
from engines.models import geometry_only
from engines.rigid import Similarity
from engines.specs import LITE
from engines.training import head_samples
from engines.training.samples import Pair, create, exact_placement
from tests.engines import faces

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.train

F32 = NDArray[np.float32]

SIDE = 512
"""of pictures of the training set"""
INNER = slice(12, -12)
"""rows or columns of a map: not next to the border of a field"""
HEAD_PX = LITE.head_px
MAP_PX = head_samples.FINER * HEAD_PX
"""side of what is compared"""
FIELD_CELLS = HEAD_PX // head.FIELD_STRIDE
FIELDS = head_samples.fields(LITE)


class Draws:
    """A generator whose batches are mirrored or are not; all else it draws is the same."""

    def __init__(self, *, mirrored: bool) -> None:
        self._first = 0.0 if mirrored else 1.0
        self._rest = np.random.default_rng(5)

    def random(self) -> float:
        return self._first

    def uniform(self, *args: object, **kwargs: object) -> NDArray[np.float64]:
        return np.asarray(self._rest.uniform(*args, **kwargs))  # type: ignore[call-overload]

    def as_generator(self) -> np.random.Generator:
        return cast(np.random.Generator, self)


def driven_pair(degrees: float = 15.0) -> Pair:
    """A portrait that is to become itself, turned."""
    portrait, own = faces.portrait(), faces.landmarks()
    identity = geometry_only().encode_identity(portrait, own, (SIDE, SIDE))
    middle = own[list(face_mesh.RIGID)].mean(axis=0)
    wanted = ((own - middle) @ faces.yaw(degrees).T + middle).astype(np.float32)
    return Pair(identity, exact_placement(identity, own, wanted), portrait)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return driven_pair()


@pytest.fixture(scope="module")
def batch(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The pair's sample, written and read."""
    import torch

    from engines.training.head_task import Samples

    folder = tmp_path_factory.mktemp("samples")
    arrays = create(folder, FIELDS, 1)
    for field, value in head_samples.kind(LITE).make(pair).items():
        arrays[field][0] = value
    return Samples(folder, torch.device("cpu")).batch(np.array([0]))


def no_field(count: int = 1) -> Tensor:
    import torch

    return torch.zeros((count, head.FIELD_CHANNELS, FIELD_CELLS, FIELD_CELLS))


def depth_within(outline: Iterable[int], pair: Pair) -> F32:
    """(MAP_PX, MAP_PX) face units from a driven outline: below 0 beyond it."""
    identity, placement = pair.identity, pair.placement
    unit = face_mesh.face_unit(identity.landmarks)
    patch = crop.place(head.REGION, MAP_PX, placement.landmarks, placement.head, unit)
    at = patch.points(placement.landmarks[list(outline)])
    depths = [
        [cv2.pointPolygonTest(at, (x, y), True) for x in range(MAP_PX)] for y in range(MAP_PX)
    ]
    return np.array(depths, np.float32) * np.float32(head.REGION.side / MAP_PX)


def places_asked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The places of textures that are looked up from now on."""
    from engines.training import head_task

    asked: list[Tensor] = []
    look_up = head_task.look_up

    def listen(texture: Tensor, at: Tensor) -> Tensor:
        asked.append(at)
        return look_up(texture, at)

    monkeypatch.setattr(head_task, "look_up", listen)
    return asked


def test_without_a_field_the_texture_is_only_looked_up(batch: dict[str, Tensor]) -> None:
    from engines.training.head_task import corrected, look_up

    plain = look_up(batch["texture"], batch["map"])
    assert plain[:, 3].std() > 0.1, "the test's own picture"
    np.testing.assert_allclose(corrected(batch, no_field()), plain, atol=1e-6)


def test_a_texture_is_looked_up_at_the_pixels_that_live_sampling_takes() -> None:
    """In a texture whose colour is its own place, each place finds its own."""
    import torch

    from engines.training.head_task import look_up

    px, side = LITE.texture_px, head.TEXTURE.side
    columns = np.broadcast_to(np.arange(px, dtype=np.float32), (4, px, px)).copy()
    columns[1] = columns[1].T
    at = np.random.default_rng(0).uniform(-0.49, 0.49, (2, 20, 20)).astype(np.float32) * side
    found = look_up(torch.from_numpy(columns)[None], torch.from_numpy(at)[None])
    expected = at * (px / side) + (px - 1) / 2
    np.testing.assert_allclose(found[0, :2], np.clip(expected, 0, px - 1), atol=0.01)


def test_light_never_exceeds_who_is_there(batch: dict[str, Tensor]) -> None:
    from engines.training.head_task import corrected

    field = no_field()
    field[:, :3] = 1.0
    lit = corrected(batch, field)
    assert bool((lit[:, :3] <= lit[:, 3:]).all())
    assert float((lit[:, :3] == lit[:, 3:]).float().mean()) < 1


def test_what_is_driven_to_itself_is_its_own_target(tmp_path: Path) -> None:
    import torch

    from engines.training.head_task import Samples, corrected

    arrays = create(tmp_path, FIELDS, 1)
    for field, value in head_samples.kind(LITE).make(driven_pair(0.0)).items():
        arrays[field][0] = value
    sample = Samples(tmp_path, torch.device("cpu")).batch(np.array([0]))
    error = (corrected(sample, no_field()) - sample["target"]).abs() * sample["counts"]
    shifted = (corrected(sample, no_field()) - sample["target"].roll(1, 3)).abs()
    inside = (slice(None), slice(0, 3), INNER, INNER)
    assert float(error[inside].mean()) < 0.02
    assert float(shifted[inside].mean()) > 2 * float(error[inside].mean()), "a pixel is seen"


def test_the_network_sees_in_training_what_it_sees_live(
    pair: Pair, batch: dict[str, Tensor]
) -> None:
    import torch

    from engines.training.head_task import HeadNet

    net = HeadNet(LITE)
    seen: dict[str, Tensor] = {}
    net.encode_head.register_forward_pre_hook(lambda _, inputs: seen.update(picture=inputs[0]))
    net.drive_head.register_forward_pre_hook(lambda _, inputs: seen.update(view=inputs[0]))
    with torch.no_grad():
        net(batch)
    identity, placement = pair.identity, pair.placement
    unit = face_mesh.face_unit(identity.landmarks)
    patch = crop.place(head.REGION, HEAD_PX, placement.landmarks, placement.head, unit)
    source = identity.mesh.source_map(placement, (SIDE, SIDE))
    live = head.look(identity.head, source, patch, placement.head)
    assert live.shape == tuple(seen["view"].shape)
    difference = np.abs(seen["view"].numpy() - live)[0]
    assert difference[:4].mean() < 0.01 and np.quantile(difference[:4], 0.99) < 0.1
    # a border of who is there falls between the four cells that are one live
    assert difference[4:6].mean() < 0.02 and np.quantile(difference[4:6], 0.97) < 0.02
    assert difference[6:].max() < 1e-6 and np.abs(live[0, 6:]).max() > 0.2
    np.testing.assert_allclose(seen["picture"], identity.head.picture(), atol=0.51 / 255)


def test_at_rest_the_network_leaves_the_portrait_as_it_is(tmp_path: Path) -> None:
    """And what is next to rest; a turn by more than some degrees is corrected by all it says."""
    import torch

    from engines.training.head_task import HeadNet, Samples

    net = HeadNet(LITE)
    torch.nn.init.normal_(net.drive_head.field.weight, generator=torch.manual_seed(0))
    strength = {}
    for degrees in (0.0, 4.0, 9.0, 15.0, 20.0):
        arrays = create(tmp_path, FIELDS, 1)
        for field, value in head_samples.kind(LITE).make(driven_pair(degrees)).items():
            arrays[field][0] = value
        with torch.no_grad():
            said = net(Samples(tmp_path, torch.device("cpu")).batch(np.array([0])))
        strength[degrees] = float(said.abs().mean())
    assert strength[20.0] > 0.01, "the network says something"
    assert strength[0.0] == 0 and strength[4.0] == 0
    assert 0.1 * strength[20.0] < strength[9.0] < 0.6 * strength[20.0]
    assert strength[15.0] == pytest.approx(strength[20.0], rel=0.2)


def test_a_way_moves_sources_in_training_as_it_does_live(
    pair: Pair, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of a field lie at the same places of a head, and count alike.

    The way is its own place in the field, from the field's middle.
    """
    import torch

    from engines.training import head_task

    identity, placement = pair.identity, pair.placement
    unit = face_mesh.face_unit(identity.landmarks)
    field = no_field().numpy()[0]
    field[3], field[4] = (np.mgrid[:FIELD_CELLS, :FIELD_CELLS][::-1] - (FIELD_CELLS - 1) / 2) / 10
    patch = crop.place(head.REGION, HEAD_PX, placement.landmarks, placement.head, unit)
    source = identity.mesh.source_map(placement, (SIDE, SIDE))
    head.displace(field, patch, source, placement.landmarks, unit)
    fine_patch = crop.place(head.REGION, MAP_PX, placement.landmarks, placement.head, unit)
    live = head.in_texture(identity.head, crop.sources(fine_patch, source, MAP_PX))

    asked = places_asked(monkeypatch)
    head_task.corrected(batch, torch.from_numpy(field)[None])
    # of a head that the map shows, and not next to where it ends
    near = (batch["map"][0].abs().amax(0) < 2).numpy().astype(np.uint8)
    somebody = cv2.erode(near, np.ones((3, 3), np.uint8))
    difference = np.abs(asked[0][0].permute(1, 2, 0).numpy() - live)[INNER, INNER]
    there = difference[somebody[INNER, INNER] > 0]
    assert len(there) > 5000
    assert np.quantile(there, 0.98) < 0.012, "face units: an eighth of a cell"


def test_in_training_too_the_face_is_moved_by_a_share(
    pair: Pair, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.training import head_task

    asked = places_asked(monkeypatch)
    field = no_field()
    field[:, 3:] = 0.25
    head_task.corrected(batch, field)
    way = (asked[0] - batch["map"])[0].abs().amax(0).numpy()
    depth = depth_within(face_mesh.FACE_OVAL, pair)
    outlines = face_mesh.LIPS, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE
    features = np.maximum.reduce([depth_within(outline, pair) for outline in outlines])
    assert (depth > 0.1).sum() > 2000 and (features > 0).sum() > 200, "the test's own picture"
    assert way[depth > 0.1].max() == pytest.approx(0.4 * 0.25, abs=0.001), "face units"
    assert way[features > 0].max() < 0.01
    np.testing.assert_allclose(way[(depth < -0.5) & (features < -0.5)], 0.25, atol=0.003)


def test_in_training_too_the_face_is_lit(pair: Pair, batch: dict[str, Tensor]) -> None:
    import torch

    from engines.training import head_task

    field = no_field()
    field[:, :3] = 0.2
    found = head_task.corrected(batch, field)
    plain = head_task.look_up(batch["texture"], batch["map"])[0]
    lit = torch.minimum(plain[:3] * np.exp(0.2), plain[3:])
    on_face = torch.from_numpy(depth_within(face_mesh.FACE_OVAL, pair) > 0.1)
    np.testing.assert_allclose(found[0, :3, on_face], lit[:, on_face], atol=0.01)
    assert float((lit - plain[:3])[:, on_face].mean()) > 0.05


@pytest.mark.parametrize("mirrored", [False, True])
def test_all_of_a_sample_is_mirrored_or_nothing(mirrored: bool, batch: dict[str, Tensor]) -> None:
    """Without a field, and so without a side, the loss is the same."""
    from engines.training.head_task import augment, corrected, loss_of

    kept = augment(dict(batch), Draws(mirrored=False).as_generator())
    changed = augment(dict(batch), Draws(mirrored=mirrored).as_generator())
    assert bool((kept["map"] == changed["map"]).all()) != mirrored
    losses = [
        float(loss_of(no_field(), corrected(one, no_field()), one)) for one in (kept, changed)
    ]
    assert losses[0] > 0.01
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_mirrored_field_corrects_a_mirrored_sample_as_it_does_the_sample(
    batch: dict[str, Tensor],
) -> None:
    """What counts of a way is mirrored with the head."""
    import torch

    from engines.training.head_task import augment, corrected

    kept = augment(dict(batch), Draws(mirrored=False).as_generator())
    changed = augment(dict(batch), Draws(mirrored=True).as_generator())
    field = no_field()
    field[:, :3], field[:, 3], field[:, 4] = 0.1, 0.2, -0.1
    sides = torch.tensor([1.0, 1, 1, -1, 1])[None, :, None, None]
    found, mirrored = corrected(kept, field), corrected(changed, field.flip(3) * sides)
    assert float((found - corrected(kept, no_field())).abs().mean()) > 0.02, "the field's own doing"
    sides_differ = (batch["movable"] - batch["movable"].flip(3)).abs().max()
    assert float(sides_differ) > 0.2, "the face's sides"
    np.testing.assert_allclose(mirrored, found.flip(3), atol=1e-4)


def test_portrait_and_target_are_lit_alike() -> None:
    """Else the network would learn a light that no turn of the head explains."""
    import torch

    from engines.training.head_task import augment

    batch = {
        field: torch.full((3, 4, 8, 8), 0.4) for field in ("texture", "target", "map", "counts")
    }
    batch |= {"turn": torch.zeros((3, 2)), "map": batch["map"][:, :2]}
    for field in ("texture", "target"):
        batch[field][:, 3] = 1
    changed = augment(batch, Draws(mirrored=False).as_generator())
    assert bool((changed["texture"] == changed["target"]).all())
    assert float((changed["texture"][:, :3] - 0.4).abs().max()) > 0.01
    assert bool((changed["texture"][:, 3] == 1).all())


def test_a_mirrored_sample_is_seen_as_a_head_that_turns_the_other_way(
    batch: dict[str, Tensor],
) -> None:
    import torch

    from engines.training.head_task import HeadNet, augment

    net = HeadNet(LITE)
    views: list[Tensor] = []
    net.drive_head.register_forward_pre_hook(lambda _, inputs: views.append(inputs[0]))
    with torch.no_grad():
        for mirrored in (False, True):
            net(augment(dict(batch), Draws(mirrored=mirrored).as_generator()))
    sides = torch.tensor([1.0, 1, 1, 1, -1, 1, -1, 1])[None, :, None, None]
    np.testing.assert_allclose(views[1], views[0].flip(3) * sides, atol=1e-4)


def test_a_mirrored_head_has_turned_the_other_way() -> None:
    """What mirroring a sample does to its turn is what a mirror does."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    motion = faces.yaw(25) @ np.array([[1, 0, 0], [0, 0.9, 0.436], [0, -0.436, 0.9]])
    x, y = head.turn_of(Similarity(motion.astype(np.float32), 1.0, np.zeros(3, np.float32)))
    seen = (mirror @ motion @ mirror).astype(np.float32)
    assert head.turn_of(Similarity(seen, 1.0, np.zeros(3, np.float32))) == pytest.approx((-x, y))


def test_samples_are_changed_where_they_lie() -> None:
    """Tensors of no data stand for a GPU's: they too refuse to meet those of the CPU."""
    import torch

    from engines.training.head_task import augment

    for seed in range(4):  # some are mirrored
        batch = {}
        for field, (shape, _) in FIELDS.items():
            order = (shape[2], *shape[:2]) if len(shape) == 3 else shape
            batch[field] = torch.empty((2, *order), device="meta")
        changed = augment(batch, np.random.default_rng(seed))
        assert all(tensor.device.type == "meta" for tensor in changed.values())


def test_what_others_paint_costs_nothing(batch: dict[str, Tensor]) -> None:
    from engines.training.head_task import corrected, loss_of

    output = corrected(batch, no_field())
    uncounted = batch["counts"] == 0
    assert 0 < float(uncounted.float().mean()) < 0.1
    changed = {**batch, "target": batch["target"].where(~uncounted, 1 - batch["target"])}
    costs = [float(loss_of(no_field(), output, one)) for one in (batch, changed)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)
    worse = {**batch, "target": 1 - batch["target"]}
    assert float(loss_of(no_field(), output, worse)) > 2 * costs[0]


def test_a_way_that_mends_nothing_costs(batch: dict[str, Tensor]) -> None:
    from engines.training.head_task import corrected, loss_of

    output, restless = corrected(batch, no_field()), no_field()
    restless[:, 3:, ::2] = 0.1
    light = no_field()
    light[:, :3, ::2] = 0.1
    still = float(loss_of(no_field(), output, batch))
    assert float(loss_of(restless, output, batch)) > still + 1e-3
    assert float(loss_of(light, output, batch)) == pytest.approx(still)


def test_eyeballs_and_the_mouth_do_not_count(pair: Pair) -> None:
    identity, placement = pair.identity, pair.placement
    unit = face_mesh.face_unit(identity.landmarks)
    patch = crop.place(head.REGION, MAP_PX, placement.landmarks, placement.head, unit)
    counts = head_samples.kind(LITE).make(pair)["counts"]
    irises, cheeks = [face_mesh.RIGHT_IRIS[0], face_mesh.LEFT_IRIS[0]], [50, 280]
    for landmarks, value in ((irises, 0), (cheeks, 255)):
        columns, rows = np.round(patch.points(placement.landmarks[landmarks])).astype(int).T
        np.testing.assert_array_equal(counts[rows, columns, 0], value)


def test_fine_stripes_are_grey_in_a_target(pair: Pair) -> None:
    """As they are in a texture: else the network would learn to blame its light for bands."""
    striped = np.full((SIDE, SIDE, 4), 255, np.uint8)
    striped[:, ::2, :3] = 0
    made = head_samples.kind(LITE).make(Pair(pair.identity, pair.placement, striped))
    target = made["target"][INNER, INNER, 0]
    assert target.mean() == pytest.approx(127, abs=2) and np.ptp(target) < 16


def test_a_sample_holds_what_is_stated(pair: Pair) -> None:
    made = head_samples.kind(LITE).make(pair)
    found = {field: (value.shape, value.dtype.name) for field, value in made.items()}
    assert found == FIELDS


def test_a_portrait_lit_from_a_side_is_no_sample_of_the_heads_light() -> None:
    """The light of a change turns with the head; this network learns that light does not."""
    assert not head_samples.kind(LITE).side_light
