"""What can be set from outside, by environment variables that start with `ERA_`; read here and nowhere else."""

import getpass
import os
from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from era.encoders.spec import N_ALIGNMENT_TEXTS, EmbedderSpec

_SPACE_DISK = Path("/data")
_THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
_ANY_ADDRESS = {"", "0.0.0.0", "[::]"}  # what is no name to be reached by


class Settings(BaseSettings):
    """Settings of one app process.

    Attributes:
        data_dir: where database, indexes and adapters live.
        device: torch device for the strong embedder and for training; None takes the best there is.
        name: what a person at this machine is called where no one signs in.
        space_id: set by Hugging Face on a Space; there, marks need a signed-in person.
        space_author_name: likewise, the account that the Space belongs to.
        port: to serve on; None takes the first free one from 7860 on.
        oauth_client_id: set by Hugging Face on a Space that offers sign-in.
        alignment_texts: how many documents the strong embedder of a collection reads for the alignment in the end, at
            least 1,000; None for 5,000. An endpoint, which may cost money, is sent 1,000 whatever is set.
        cache_gb: what vectors kept for later may take on disk; those used longest ago go first.
        people: a file of the people who may sign in, a line `name:password` each; None lets everybody in by one name.
        hosts: names, separated by commas, by which other machines reach the app where no one signs in.
        server_name: the address to serve on; None for this machine alone.
        api: whether programs may search: one public endpoint that only reads, and the same as a tool of an MCP server.
    """

    model_config = SettingsConfigDict(env_prefix="ERA_", frozen=True, env_ignore_empty=True)

    data_dir: Path | None = None
    device: str | None = None
    name: str | None = None
    people: Path | None = None
    alignment_texts: int | None = Field(default=None, gt=0)
    cache_gb: float = Field(default=2.0, gt=0)
    hosts: str = ""
    api: bool = False
    space_id: str | None = Field(default=None, validation_alias="SPACE_ID")
    space_author_name: str | None = Field(default=None, validation_alias="SPACE_AUTHOR_NAME")
    server_name: str | None = Field(default=None, validation_alias="GRADIO_SERVER_NAME")
    port: int | None = Field(default=None, validation_alias="GRADIO_SERVER_PORT")
    oauth_client_id: str | None = Field(default=None, validation_alias="OAUTH_CLIENT_ID")

    @property
    def has_several_people(self) -> bool:
        """Return whether people sign in, so that there may be several; else there is the one at this machine."""
        return self.people is not None or self.space_id is not None

    @property
    def host_names(self) -> frozenset[str]:
        """Return the names that the app answers to where no one signs in, as `host_of` gives them."""
        chosen = [*self.hosts.split(","), self.server_name or ""]
        return frozenset({*_THIS_MACHINE, *map(host_of, chosen)} - _ANY_ADDRESS)

    def n_alignment_texts(self, strong: EmbedderSpec) -> int:
        """Return how many documents this strong embedder reads for the alignment in the end, if there are so many.

        An endpoint is sent no more than was agreed to when the collection was brought in, whatever is set.
        """
        usual = strong.n_alignment_texts
        return usual if strong.kind == "openai" else max(self.alignment_texts or usual, N_ALIGNMENT_TEXTS)

    @property
    def received_folder(self) -> Path:
        """Return the folder for what people send and what they take along, until it is done with."""
        return self.data_folder.resolve() / "received"

    def prepare_server(self) -> None:
        """Let Gradio keep files in our folder, and summarise its own statistics rarely.

        By itself it does the latter after every event, and ever slower.
        """
        os.environ["GRADIO_TEMP_DIR"] = str(self.received_folder)
        os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")

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

    @property
    def local_name(self) -> str:
        """Return the name under which marks are stored when no one signs in."""
        if self.name and self.name.strip():
            return self.name.strip()
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            return "you"


def host_of(address: str) -> str:
    """Return the name of a host as it stands in addresses, in small letters and without the port."""
    address = address.strip().lower()
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"  # IPv6 as people write it
    name = address.partition("]")[0] + "]" if address.startswith("[") else address.partition(":")[0]
    return name.removesuffix(".")
