"""A whole collection to take along: a folder with its index and judgments, which library and command line open."""

import shutil

import storage.collections
import storage.documents
import storage.queries
from annotation.errors import NotAllowedError
from annotation.judging.queries import query_names
from annotation.judging.setup import hidden_queries, left_out
from annotation.transfer.files import ExportFile, file_name, new_export, zip_folder
from annotation.workspace import Workspace
from era.collection import write_folder
from era.io.content import SourceDocument, SourceQuery
from era.types import Document, Query


def export_collection(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> ExportFile:
    """Return documents, index, queries and agreed judgments as a zip file of what `era.Collection.open` opens.

    Queries that others have judged and the author may still judge come without their judgments.

    Raises:
        NotAllowedError: if no one is signed in where that is needed: a collection is large.
        NotReadyError: if the embedders are still being loaded.
        UnknownRecord: if there is no such collection or label set.
    """
    if author is None:
        raise NotAllowedError("Sign in to take a collection out.")
    opened = workspace.open(collection_id)
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
        listed = storage.queries.list_all(session, collection_id)
    names, judged = query_names(listed), workspace.standings(label_set_id).qrels()
    hidden = hidden_queries(workspace, author, collection_id, label_set_id, judged)
    queries = [SourceQuery(Query(names[query.id], query.text, query.instruction), query.need or "") for query in listed]
    qrels = {names[query_id]: grades for query_id, grades in judged.items() if query_id not in hidden}
    made = new_export(workspace)
    name = file_name(collection.name, "collection", ending="")
    try:
        with workspace.reading() as session:
            rows = storage.documents.iter_all(session, collection_id)
            documents = (
                SourceDocument(
                    Document(row.doc_id, row.title, row.text),
                    {str(key): str(value) for key, value in (row.metadata or {}).items()},
                )
                for row in rows
            )
            write_folder(
                made / "collection",
                opened.index,
                workspace.spec_of(collection_id),
                opened.corpus.fingerprint,
                documents,
                queries,
                qrels,
                opened.folder.glob("alignment-*.safetensors"),
            )
        zip_folder(made / "collection", made / "collection.zip", name)
        shutil.rmtree(made / "collection")
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    remarks = (left_out(len(hidden)),) if hidden else ()
    return ExportFile(f"{name}.zip", made / "collection.zip", "application/zip", remarks)
