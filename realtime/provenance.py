"""What a file that reenactd writes brings along: a signed record here, a manifest in the file.

Neither is worth losing a finished film for: what cannot be signed is said in `notes`, and the film,
whose every picture is marked, is kept.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from realtime import c2pa_manifest
from realtime.c2pa_manifest import Claim
from realtime.config import Config
from realtime.drafts import shows_room
from realtime.errors import StartupError
from realtime.frames import Controls
from realtime.identity import Identity
from realtime.logbook import label_record
from realtime.records import END, RecordWriter, Subject
from realtime.stages.mark import Marks
from realtime.studio import network_of
from realtime.trust import Keyring


class FileProvenance:
    """One rendered file. Enter it before the first frame; it ends the record when it is left.

    Args:
        marks: of its pictures.
    """

    def __init__(
        self, config: Config, identity: Identity, controls: Controls, marks: Marks
    ) -> None:
        self.payload = str(marks.payload)
        self.notes: list[str] = []
        """for the person who renders, one line each"""
        self._keyring = Keyring()
        self._consent = identity.consent
        network, weights_sha256 = network_of(config)
        label = label_record(marks, config.output)
        self._subject = Subject(self.payload, network, weights_sha256, label)
        self._claim = Claim(
            "composite" if shows_room(controls) else "generated",
            self._consent.portrait_sha256,
            self._consent.digest,
            network,
            weights_sha256,
            self.payload,
            self.payload,
        )
        self._writer: RecordWriter | None = None

    def __enter__(self) -> FileProvenance:
        try:
            self._writer = RecordWriter(self._subject, self._keyring.signer())
            self._writer.start(
                identity=self._consent.portrait_sha256, consent_sha256=self._consent.digest
            )
        except OSError as error:
            self._fail(error)
        return self

    def __exit__(
        self,
        failure: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.write(END, written=failure is None)
                self._writer.close()
        except OSError as failed:
            self._fail(failed)

    def seal(self, path: Path, title: str) -> None:
        """Give the finished file its manifest; if that cannot be, `notes` says why."""
        if not c2pa_manifest.is_installed():
            self.notes.append(f"it carries no C2PA manifest; to have one: {c2pa_manifest.GET_IT}")
            return
        try:
            c2pa_manifest.seal(path, self._claim, title, self._keyring)
        except StartupError as error:  # also keys that cannot be used
            self.notes.append(f"it carries no C2PA manifest: {error}")
        else:
            self.notes.append(f"signed (C2PA), session {self.payload}")

    def _fail(self, error: OSError) -> None:
        self.notes.append(f"its record cannot be written: {error.strerror or error}")
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
