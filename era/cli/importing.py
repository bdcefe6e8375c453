"""`import`: any format becomes a collection folder, complete or not at all."""

import argparse
from pathlib import Path

from era.cli.console import Console
from era.cli.sources import Counted, columns_named, open_for
from era.collection import read_documents
from era.intact import appearing
from era.io.judgments import of_known_documents
from era.io.opening import open_hub
from era.io.writing import collection_folder


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Read a source and write the folder.

    Raises:
        FormatError: naming the place of what cannot be read.
        FileExistsError: if the folder exists.
        ValueError: if there is no document with any text.
    """
    with appearing(arguments.folder) as folder, console.progress() as progress:
        if arguments.format == "hub":
            columns = columns_named(arguments.column)
            source = open_hub(arguments.source, arguments.config, arguments.revision, columns)
        else:
            source = open_for(arguments, Path(arguments.source))
        queries, qrels, left_out = source.queries(), source.qrels(), list[str]()
        if qrels:  # what they judge has to be there, and they are written with the documents
            qrels = of_known_documents(qrels, {each.document.doc_id for each in source.documents()}, left_out)
        counted = Counted(read_documents(source, progress))
        collection_folder(folder, counted, queries, qrels)
        if not counted.n:
            raise ValueError(f"There is no document with any text in {arguments.source}.")
        remarks = [*source.remarks, *left_out]
    for remark in remarks:
        console.remark(remark)
    found = {
        "folder": str(arguments.folder),
        "format": source.format,
        "documents": counted.n,
        "queries": len(queries),
        "judgments": sum(len(judged) for judged in qrels.values()),
        "remarks": remarks,
    }
    console.answer(
        found,
        lambda: (
            f"{found['documents']:,} documents, {found['queries']:,} queries and {found['judgments']:,} judgments "
            f"are in {arguments.folder}.\n"
        ),
    )
