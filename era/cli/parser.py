"""The commands and their options; nothing is read, loaded or imported here that `--help` would have to wait for."""

import argparse
from pathlib import Path

from era.encoders.spec import MAX_ALIGNMENT_TEXTS, N_ALIGNMENT_TEXTS, PRESETS

RECIPES = ("era", "era-dual", "era-single", "paper")
SYSTEMS = "light, aligned, bm25, the folder or zip of an adapter, or a TREC run file"

_EPILOG = """\
a pipeline:
  python -m era import beir.zip nfcorpus                     any format to a collection folder
  python -m era index nfcorpus nfcorpus.index                read the documents once
  python -m era search nfcorpus.index "vitamin d" -k 3       search before any label
  python -m era adapt nfcorpus.index first.adapter           learn from its queries and judgments
  python -m era evaluate first.adapter --index nfcorpus.index --baseline light

Exit codes: 0 done, 1 not possible (the reason is one line on standard error), 2 wrong arguments.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="python -m era",
        description="Retrieval that learns on the query side; the index of the documents is never rebuilt for it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_import(commands)
    _add_index(commands)
    _add_search(commands)
    _add_align(commands)
    _add_adapt(commands)
    _add_evaluate(commands)
    _add_export(commands)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=words)
    parser.add_argument("--json", action="store_true", dest="is_json", help="answer in JSON on standard output")
    parser.add_argument("--quiet", action="store_true", dest="is_quiet", help="no progress and no remarks")
    return parser


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands, "import", "Turn documents, queries and judgments of any format into a collection folder."
    )
    parser.add_argument("source", help="a file, a folder or a zip; with --format hub the name of a dataset")
    parser.add_argument("folder", type=Path, help="the collection folder to write; it must not exist")
    parser.add_argument("--config", default="", help="with --format hub: the part of the dataset")
    parser.add_argument("--revision", default="", help="with --format hub: commit, branch or tag")
    _add_reading(parser)


def _add_index(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "index", "Embed the documents of a collection into an index folder.")
    parser.add_argument("collection", type=Path, help="a collection folder, or whatever `import` reads")
    parser.add_argument("index", type=Path, metavar="INDEX", help="the index folder to write")
    parser.add_argument(
        "--update",
        action="store_true",
        dest="is_update",
        help="replace an index folder of the same embedders; only new and changed documents are embedded",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        dest="is_estimate",
        help="only say how many tokens the documents have, and what an endpoint with a known price takes for them",
    )
    _add_reading(parser)
    _add_computing(parser, "a preset ({presets}) or a JSON file; default bundled, with --update those of the index")


def _add_search(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "search", "Search for one query, or for all queries of a file, which gives a TREC run.")
    _add_index_argument(parser)
    parser.add_argument("query", nargs="?", help="what is looked for")
    parser.add_argument("--instruction", default="", help="how the query is to be read")
    parser.add_argument("--queries", type=Path, help="a file or folder of queries, instead of one query")
    parser.add_argument(
        "--with",
        dest="system",
        default="aligned",
        metavar="SYSTEM",
        help="light, aligned, bm25, or the folder or zip of an adapter; default aligned",
    )
    _add_words(parser)
    parser.add_argument(
        "-k", type=_at_least_one, default=None, help="documents for each query; default 10, with --queries 100"
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        dest="is_held_out",
        help="rank queries that the adapter learned from by adapters that never saw their judgments",
    )
    parser.add_argument("--out", type=Path, help="with --queries: write the run to this file")
    _add_query_side(parser)


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--words",
        action=argparse.BooleanOptionalAction,
        dest="has_words",
        help="whether matching words (BM25) count beside the vectors; they do in all but the light model alone",
    )


def _add_align(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands, "align", "Join the two embedders without labels: read some of the documents with the strong one."
    )
    _add_index_argument(parser)
    parser.add_argument("adapter", type=Path, nargs="?", help="write the adapter before labels to this folder")
    _add_learning(parser)
    _add_query_side(parser)


def _add_adapt(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(
        commands, "adapt", "Learn an adapter from judged queries, and measure it on queries that it has not seen."
    )
    _add_index_argument(parser)
    parser.add_argument("adapter", type=Path, help="the folder to write; it must not exist")
    parser.add_argument("--queries", type=Path, help="a file or folder of queries; default those of the index folder")
    parser.add_argument("--qrels", type=Path, help="a file of judgments; default those of the index folder")
    _add_learning(parser)
    _add_query_side(parser)


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "evaluate", "Measure a ranking against judgments, and how it differs from another one.")
    parser.add_argument("system", metavar="SYSTEM", help=SYSTEMS)
    parser.add_argument("--baseline", metavar="SYSTEM", help=f"to compare with: {SYSTEMS}")
    parser.add_argument("--index", type=Path, help="the index folder; not needed for run files")
    parser.add_argument("--queries", type=Path, help="a file or folder of queries; default those of the index folder")
    parser.add_argument("--qrels", type=Path, help="a file of judgments; default those of the index folder")
    parser.add_argument(
        "--measures", default="nDCG@10 R@100 RR P@10 Judged@10", help="names of ir-measures; default %(default)s"
    )
    parser.add_argument(
        "--threshold", type=float, help="the grade from which on a document is relevant; default any above 0"
    )
    _add_words(parser)
    parser.add_argument("--per-query", action="store_true", dest="is_per_query", help="show every query as well")
    parser.add_argument(
        "--complete",
        action="store_true",
        dest="is_complete",
        help="a judged query that a ranking lacks counts as 0, not as absent",
    )
    parser.add_argument(
        "--in-sample",
        action="store_true",
        dest="is_in_sample",
        help="rank queries that an adapter learned from by the adapter itself",
    )
    _add_query_side(parser)


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    words = "Write an adapter as a sentence-transformers model, or judgments and runs in another format."
    parser = _command(commands, "export", words)
    parser.add_argument("kind", choices=("model", "qrels", "run"), help="what SOURCE is written as")
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="the folder of an adapter, or a file of judgments or rankings"
    )
    parser.add_argument(
        "target",
        type=Path,
        nargs="?",
        metavar="TARGET",
        help="the folder of the model, or the file; default standard output",
    )
    parser.add_argument("--index", type=Path, help="for a model: the index folder that the adapter was made for")
    parser.add_argument(
        "--to",
        choices=("trec", "csv", "jsonl"),
        default="trec",
        help="format of judgments and runs; default %(default)s",
    )
    parser.add_argument("--tag", default="era", help="name of a TREC run; default %(default)s")
    _add_query_side(parser)


def _add_index_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", type=Path, metavar="INDEX", help="an index folder, as `index` writes it")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", default="", help="table, beir, collection, trec, mair, files or hub; default: as it looks"
    )
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=COLUMN",
        help="which column of a table is the id, the title or the text; given several times for titles and texts of "
        "several columns",
    )
    parser.add_argument(
        "--header",
        choices=("yes", "no"),
        default="",
        help="whether the first line of delimited text names its columns; default: as it looks",
    )
    parser.add_argument(
        "--encoding",
        default="",
        help="of text that is not Unicode throughout, such as utf-8 or cp1251; what does not fit becomes \ufffd",
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", choices=RECIPES, default="era", help="how to learn; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of everything random; default %(default)s")
    parser.add_argument(
        "--texts",
        type=_at_least_one,
        dest="n_texts",
        metavar="N",
        help="documents that the strong embedder reads for the alignment, if there are so many; "
        f"default {MAX_ALIGNMENT_TEXTS:,}, of an endpoint {N_ALIGNMENT_TEXTS:,}",
    )


def _add_query_side(parser: argparse.ArgumentParser) -> None:
    _add_computing(
        parser, "other embedders than the index names, for the query side: a preset ({presets}) or a JSON file"
    )


def _add_computing(parser: argparse.ArgumentParser, words: str) -> None:
    presets = ", ".join(preset.key for preset in PRESETS)
    parser.add_argument("--embedders", default="", metavar="PRESET|FILE", help=words.format(presets=presets))
    parser.add_argument("--device", help="cuda, mps or cpu; default the first of these that is there")
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep vectors of texts here and take them from here"
    )


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
