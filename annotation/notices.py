"""What everybody who has the page open should know: what is damaged, what is not affected, and what to do."""

from annotation.opening import OpenPage
from annotation.rankers import damaged_run
from annotation.workspace import Workspace


def notices(workspace: Workspace, page: OpenPage) -> list[str]:
    """Return complete sentences on what is wrong with what the page shows; none if all is well."""
    run = damaged_run(workspace, page.collection.id, page.label_set.id)
    if run is None:
        return []
    return [
        f"The saved adapter of run {run.number} is damaged, so the ranking without labels is used instead. Your marks "
        "are in the database and are not affected. Under Train, open that run and choose “Again with the same labels”."
    ]
