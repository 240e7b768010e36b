"""The films of one session, one at a time: begun, given what goes out, ended.

`sinks/recorder.py` writes each. Knows no HTTP and no peer connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime.frames import OutputFrame
from realtime.sinks.recorder import Progress, Recorder, RecordingError
from realtime.sound import Sound


class Filming:
    """Lives on the event loop.

    Args:
        make_recorder: of the next film.
        sound: the session's voice.
        is_over: whether the session has ended, or is about to.
    """

    def __init__(
        self, make_recorder: Callable[[], Recorder], sound: Sound, is_over: Callable[[], bool]
    ) -> None:
        self._make_recorder = make_recorder
        self._sound = sound
        self._is_over = is_over
        self._recorder: Recorder | None = None
        self._stop_hearing: Callable[[], None] = lambda: None

    @property
    def progress(self) -> Progress | None:
        """How the last film goes, or went."""
        return None if self._recorder is None else self._recorder.progress

    async def begin(self) -> Progress:
        """Begin a film of what is sent.

        Raises:
            RecordingError: one is being made, or no file can be written.
        """
        if self._is_over() or (self._recorder and self._recorder.progress.state == "on"):
            raise RecordingError("the session is being recorded already, or has ended")
        self._recorder = recorder = self._make_recorder()
        self._stop_hearing()
        self._stop_hearing = self._sound.listen(recorder.hear)
        await asyncio.wrap_future(recorder.start())
        return recorder.progress

    async def end(self) -> Progress:
        """End the film; returns when it is whole.

        Raises:
            RecordingError: none is being made.
        """
        recorder = self._recorder
        if recorder is None or recorder.progress.state != "on":
            raise RecordingError("the session is not being recorded")
        self._stop_hearing()
        return await recorder.close()

    def see(self, output: OutputFrame) -> None:
        """A picture goes out to viewers now."""
        if self._recorder is not None:
            self._recorder.see(output)

    async def close(self) -> None:
        """The session is over, and the film with it; returns when that is whole."""
        if self._recorder is not None:
            await self._recorder.close()
