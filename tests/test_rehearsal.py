"""The rehearsal: a made-up face drives the real pipeline, and what that costs is measured."""

from __future__ import annotations

from typing import cast

import pytest

from realtime.clock import FakeClock
from realtime.config import Config
from realtime.errors import FrameError
from realtime.frames import Controls, OutputFrame, Tracked
from realtime.identity import Identity
from realtime.pipeline import Pipeline
from realtime.rehearsal import COUNTED_FRAMES, WARM_UP_FRAMES, WHOLE_FRAME, rehearse
from tests.fakes import FakeReenactor, identity
from tests.helpers import FakeIdentity, FakeNoOutput, FakePipeline, Script


def test_the_made_up_face_drives_the_real_stages() -> None:
    reenactor = FakeReenactor()
    cost = rehearse(Pipeline(Config(), reenactor.as_reenactor()), identity())
    assert len(reenactor.motions) == WARM_UP_FRAMES + COUNTED_FRAMES
    assert cost.render_ms > 0 and cost.cpu_ms > 0
    opened = [motion.expression.max() for motion in reenactor.motions]
    assert max(opened) > min(opened), "it moves"


def test_the_first_frames_are_not_counted() -> None:
    clock = FakeClock()

    class Slow(FakePipeline):
        frames = 0

        def process(self, tracked: Tracked, controls: Controls, who: Identity) -> OutputFrame:
            self.frames += 1
            clock.advance_ms(500 if self.frames <= WARM_UP_FRAMES else 20)
            made = super().process(tracked, controls, who)
            assert isinstance(made, OutputFrame)
            return made

    cost = rehearse(Slow(Script()), cast(Identity, FakeIdentity("juniper")), clock)
    assert cost.render_ms == 20


def test_a_face_that_gives_no_avatar_is_an_error() -> None:
    class Blind(FakePipeline):
        def process(self, tracked: Tracked, controls: Controls, who: Identity) -> FakeNoOutput:
            return FakeNoOutput("calibrating")

    with pytest.raises(FrameError, match="frame 0 of a made-up face gave no avatar"):
        rehearse(Blind(Script()), cast(Identity, FakeIdentity("juniper")))


def test_what_is_not_rehearsed_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    spent_ns = iter(range(0, 10**12, 7_000_000))
    monkeypatch.setattr("time.thread_time_ns", lambda: next(spent_ns))
    cost = rehearse(FakePipeline(Script()), cast(Identity, FakeIdentity("juniper")))
    assert cost.cpu_ms == WHOLE_FRAME * 7, "of all threads, for `admission` shares the cores by it"
