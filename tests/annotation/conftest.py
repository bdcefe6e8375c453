"""Desks of the world of words for each test: a copy of a data folder that is prepared once per process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation.workspace import Workspace
from era.encoders.base import EmbedderPair
from tests.worlds.desk import Desk, copied_desk, new_desk, settings_at, small_world, staged_pair
from tests.worlds.words import QRELS


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def closed_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The small world with nothing judged, to be copied."""
    made = new_desk(tmp_path_factory.mktemp("desk"), small_world())
    made.workspace.close()
    return made


@pytest.fixture(scope="session")
def closed_judged_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The small world with all its queries judged, to be copied."""
    made = new_desk(tmp_path_factory.mktemp("judged"), small_world(qrels=QRELS))
    made.workspace.close()
    return made


@pytest.fixture
def desk(closed_desk: Desk, data_dir: Path) -> Iterator[Desk]:
    """The small world with nothing judged."""
    made = copied_desk(closed_desk, data_dir)
    yield made
    made.workspace.close()


@pytest.fixture
def judged_desk(closed_judged_desk: Desk, data_dir: Path) -> Iterator[Desk]:
    """The small world with all its queries judged."""
    made = copied_desk(closed_judged_desk, data_dir)
    yield made
    made.workspace.close()


@pytest.fixture(scope="session")
def trained_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The small world after one training run; for tests that only look."""
    made = new_desk(tmp_path_factory.mktemp("trained"), small_world(qrels=QRELS))
    made.train()
    yield made
    made.workspace.close()


@pytest.fixture
def brief_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the published recipe train for 20 epochs instead of 1,000, in larger steps."""
    from era.method import recipes  # torch: seconds, which most tests do without
    from era.method.paper import ContrastiveConfig

    monkeypatch.setattr(recipes, "ContrastiveConfig", lambda: ContrastiveConfig(n_epochs=20, learning_rate=1e-3))


@pytest.fixture
def bare_workspace(data_dir: Path) -> Iterator[Workspace]:
    """A workspace over an empty data folder, with embedders that are not loaded yet."""
    made = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(*staged_pair()))
    yield made
    made.close()
