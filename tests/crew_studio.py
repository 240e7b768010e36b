"""A studio without weights for worker processes, which obey files: no test can reach into them."""

from __future__ import annotations

from realtime.config import Config, state_directory
from realtime.errors import IdentityError, StartupError
from tests.helpers import FakeStudio

UNLOADABLE = "unloadable"


def studio(config: Config) -> FileStudio:
    """As `Crew` is given it: each process imports it by its name."""
    return FileStudio()


class FileStudio(FakeStudio):
    """Files in the state directory say what is wrong."""

    def load(self) -> str:
        broken = state_directory() / UNLOADABLE
        if broken.exists():
            raise StartupError(broken.read_text())
        return super().load()

    def check_identity(self, identity_id: str) -> object:
        if (state_directory() / f"revoked-{identity_id}").exists():
            raise IdentityError(f"the consent for {identity_id} was revoked")
        return None
