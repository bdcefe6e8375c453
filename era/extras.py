"""Packages that only some formats and encoders need; `pip install "era-retrieval[...]"` brings them."""

from importlib.util import find_spec

from era.errors import EraError


class MissingPackageError(EraError):
    """A package that is needed for this was not installed."""


def require(package: str, extra: str) -> None:
    """Check that a package is there before it is imported.

    Args:
        package: the name it is imported by.
        extra: which of the extras `files`, `hub` and `openai` brings it.

    Raises:
        MissingPackageError: naming the command that installs it.
    """
    if find_spec(package) is None:
        raise MissingPackageError(
            f'This needs the package {package}, which is not installed. Run: pip install "era-retrieval[{extra}]"'
        )
