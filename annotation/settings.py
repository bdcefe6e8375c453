"""What can be set from outside, by environment variables that start with `ERA_`; read here and nowhere else."""

import getpass
import os
from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from annotation.errors import InvalidInputError

_SPACE_DISK = Path("/data")


class Settings(BaseSettings):
    """Settings of one app process.

    Attributes:
        data_dir: where database, indexes and adapters live.
        device: torch device for the strong embedder and for training; None takes the best there is.
        name: what a person at this machine is called where nobody signs in.
        space_id: set by Hugging Face on a Space; there, marks need a signed-in person.
        port: to serve on; None takes the first free one from 7860 on.
        oauth_client_id: set by Hugging Face on a Space that offers sign-in.
        cache_gb: what vectors kept for later may take on disk; the oldest go first.
        people: a file of the people who may sign in, a line `name:password` each; None lets everybody in by one name.
        api: whether programs may search: one public endpoint that only reads, and the same as a tool of an MCP server.
    """

    model_config = SettingsConfigDict(env_prefix="ERA_", frozen=True, env_ignore_empty=True)

    data_dir: Path | None = None
    device: str | None = None
    name: str | None = None
    people: Path | None = None
    cache_gb: float = Field(default=2.0, gt=0)
    api: bool = False
    space_id: str | None = Field(default=None, validation_alias="SPACE_ID")
    port: int | None = Field(default=None, validation_alias="GRADIO_SERVER_PORT")
    oauth_client_id: str | None = Field(default=None, validation_alias="OAUTH_CLIENT_ID")

    @staticmethod
    def spare_statistics() -> None:
        """Let Gradio summarise its own statistics rarely: by itself it does so after every event, and ever slower."""
        os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")

    def may_remove(self, author: str | None, owner: str) -> bool:
        """Return whether a person may delete what somebody made: the own, or anything where there is one person."""
        is_alone = self.people is None and self.space_id is None
        return author is not None and (is_alone or author == owner)

    @property
    def cache_bytes(self) -> int:
        """Return what vectors kept for later may take on disk."""
        return max(round(self.cache_gb * 2**30), 1)

    @property
    def data_folder(self) -> Path:
        """Return the folder for everything that is kept."""
        if self.data_dir is not None:
            return self.data_dir.expanduser()
        if self.space_id and os.access(_SPACE_DISK, os.W_OK):
            return _SPACE_DISK / "era"
        return Path(platformdirs.user_data_dir("era", appauthor=False))

    def read_people(self) -> list[tuple[str, str]]:
        """Return (name, password) of everybody who may sign in; empty if nobody has to.

        Raises:
            InvalidInputError: if the file cannot be read, or a line is not `name:password`.
        """
        if self.people is None:
            return []
        try:
            lines = self.people.expanduser().read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"The file of people {self.people} could not be read: {error}") from error
        people: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            name, colon, password = (part.strip() for part in line.partition(":"))
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not (name and colon and password) or name in people:
                raise InvalidInputError(
                    f"{self.people}, line {number}: expected name:password, each name once. "
                    "Nobody can sign in before this is mended."
                )
            people[name] = password
        if not people:
            raise InvalidInputError(f"{self.people} names nobody. Write a line name:password for each person.")
        return list(people.items())

    @property
    def local_name(self) -> str:
        """Return the name under which marks are stored when nobody signs in."""
        if self.name and self.name.strip():
            return self.name.strip()
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            return "you"
