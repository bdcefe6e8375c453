"""What everybody who has the page open should know: what is damaged, what is not affected, and what to do."""

from annotation.collections.page import OpenPage
from annotation.ranking.rankers import damaged_run
from annotation.workspace import Workspace


def notices(workspace: Workspace, page: OpenPage) -> list[str]:
    """Return complete sentences on what is wrong with what the page shows; none if all is well."""
    found = []
    if (damage := workspace.damage) is not None:
        found.append(
            f"{damage.happened} What can be read is still shown, and nothing more is written: marks wait in your "
            f"browser. {damage.safe} What to do: {' '.join(damage.todo)}"
        )
    run = damaged_run(workspace, page.collection.id, page.label_set.id)
    if run is not None:
        found.append(
            f"The saved adapter of run {run.number} is damaged, so the ranking without labels is used instead. Your "
            "marks are in the database and are not affected. Under Train, open that run and choose “Again with the "
            "same labels”."
        )
    return found
