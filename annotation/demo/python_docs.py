"""The Python demonstration collection: docstrings of the standard library.

They are read from the running interpreter, so that nothing is bundled and the collection is real text that every
user has. The modules are an explicit list, stable from Python 3.11 to 3.13: modules that act when imported (windows,
terminal set-up, printing), that are private, or that Python 3.13 removed are not in it. Constants, dunder methods and
the docstrings of modules themselves are left out.

The queries and how they were judged: `python_data`.
"""

import builtins
import functools
import importlib
import inspect
import logging
import platform
import re
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from annotation.demo.demo import Demo, read_judgments, read_queries
from era.types import Document

logger = logging.getLogger(__name__)

NAME = "Python standard library"
DESCRIPTION = (
    "What the functions, classes and methods of the Python standard library say about themselves, "
    "read from the interpreter this program runs on."
)
DATA = Path(__file__).parent / "python_data"

MAX_WORDS = 120
MIN_WORDS = 3

MODULE_NAMES = """
builtins
collections itertools functools operator heapq bisect array queue copy enum dataclasses types typing contextlib
collections.abc abc weakref graphlib reprlib pprint numbers
math random statistics fractions decimal cmath secrets
re string textwrap difflib unicodedata stringprep codecs locale gettext
datetime time calendar zoneinfo sched timeit
pathlib os os.path shutil glob fnmatch tempfile filecmp fileinput linecache stat io
json csv configparser tomllib pickle shelve sqlite3 struct plistlib netrc copyreg marshal
dbm dbm.dumb base64 binascii quopri
zlib gzip bz2 lzma zipfile tarfile
hashlib hmac ssl
subprocess signal threading concurrent.futures asyncio multiprocessing multiprocessing.pool
multiprocessing.connection multiprocessing.managers multiprocessing.queues multiprocessing.shared_memory
contextvars select selectors mmap
socket socketserver ipaddress uuid urllib.parse urllib.request urllib.error urllib.response urllib.robotparser
http http.client http.server http.cookies http.cookiejar ftplib smtplib xmlrpc.client
webbrowser wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.types wsgiref.util wsgiref.validate
email email.message email.parser email.policy email.utils email.header email.headerregistry email.charset
email.encoders email.errors email.generator email.iterators email.contentmanager email.mime.base
email.mime.application email.mime.audio email.mime.image email.mime.message email.mime.multipart email.mime.text
mimetypes
html html.parser xml.etree.ElementTree xml.dom.minidom xml.sax xml.sax.saxutils
argparse getopt optparse getpass cmd shlex
logging logging.config logging.handlers warnings traceback
unittest unittest.mock cProfile profile pstats trace tracemalloc faulthandler
sys sysconfig platform gc inspect atexit errno importlib importlib.machinery importlib.metadata
importlib.resources importlib.util pkgutil runpy zipapp venv
ast tokenize py_compile compileall dis code codeop
ctypes ctypes.util wave colorsys
fcntl grp pwd resource syslog
"""
"""Public modules walked. The order matters: an object shared by several is named after the first that owns it."""

_SIGNATURE_ONLY = re.compile(r"[\w.]+\([^\n]*\)(\s*->\s*\S+)?\.?")
_BOILERPLATE = re.compile(r"Alias for field number \d+|An enumeration\.|Deprecated AST node class.*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_Member = tuple[str, object]


def python_docs() -> Demo:
    """Return the collection; judgments of what this interpreter lacks are left out."""
    documents = build_documents()
    doc_ids = {document.doc_id for document in documents}
    return Demo(
        name=NAME,
        description=DESCRIPTION,
        documents=documents,
        metadata=metadata_of(documents),
        queries=read_queries(DATA),
        judgments={
            query_id: {doc_id: grade for doc_id, grade in judged.items() if doc_id in doc_ids}
            for query_id, judged in read_judgments(DATA).items()
        },
    )


def build_documents() -> list[Document]:
    """Return one document per documented public function, class, method and property, sorted by `doc_id`.

    Importing the modules is the only lasting effect. Modules missing on this platform are skipped.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = _import_modules(MODULE_NAMES.split())
        functions, classes = _public_objects(modules)

    documents: dict[str, Document] = {}
    seen_objects: set[int] = set()
    seen_texts: set[tuple[str, str]] = set()
    for qualified_name, value in (*functions, *_class_members(classes)):
        target = _unwrap(value)
        text = _document_text(target)
        key = (qualified_name.rpartition(".")[2], text)
        if id(target) in seen_objects or key in seen_texts or not text:
            continue
        seen_objects.add(id(target))
        seen_texts.add(key)
        documents.setdefault(qualified_name, Document(doc_id=qualified_name, title=qualified_name, text=text))
    return sorted(documents.values(), key=lambda document: document.doc_id)


def metadata_of(documents: Iterable[Document]) -> dict[str, dict[str, str]]:
    """Return what else is known of the documents, by id: their module, and the Python that they describe."""
    names = set(MODULE_NAMES.split())
    facts: dict[str, dict[str, str]] = {}
    for document in documents:
        parts = document.doc_id.split(".")
        prefixes = (".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
        module = next((prefix for prefix in prefixes if prefix in names), "builtins")
        facts[document.doc_id] = {"module": module, "Python": platform.python_version()}
    return facts


def _import_modules(names: Sequence[str]) -> dict[str, types.ModuleType]:
    modules = {}
    for name in names:
        try:
            modules[name] = importlib.import_module(name)
        except ImportError as error:
            logger.debug("left out of the demonstration collection: %s (%s)", name, error)
    return modules


def _public_objects(modules: Mapping[str, types.ModuleType]) -> tuple[list[_Member], dict[type, str]]:
    """Return the functions as (qualified name, function), and the classes with theirs, in the order of the modules."""
    functions: list[_Member] = []
    classes: dict[type, str] = {}
    for module_name, module in modules.items():
        prefix = "" if module is builtins else f"{module_name}."
        for name, value in _public_members(module_name, module, modules):
            if isinstance(value, type):
                classes.setdefault(value, prefix + name)
            else:
                functions.append((prefix + name, value))
    return functions, classes


def _public_members(
    module_name: str, module: types.ModuleType, modules: Mapping[str, types.ModuleType]
) -> Iterator[_Member]:
    """Yield the names a module offers as its own, leaving out what it merely re-exports.

    Short names come first: of two that say the same, `str.replace` and `bytearray.replace`, the shorter is the usual.
    """
    names = getattr(module, "__all__", None)
    offered = set(dir(module) if names is None else names)
    for name in sorted(offered, key=lambda name: (len(name), name)):
        value = getattr(module, name, None)
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        home = module_name if module is builtins else getattr(value, "__module__", None) or module_name
        if names is None and not _is_implementation(home, module_name):
            continue
        if name != value.__name__ and value.__name__ in offered:
            continue  # an alias, such as `EnvironmentError` of `OSError`
        owner = modules.get(home, module)
        if owner is not module and getattr(owner, value.__name__, None) is value:
            continue
        yield name, value


def _is_implementation(home: str, module_name: str) -> bool:
    """Tell whether `home` is the module itself, one of its parts, or its private twin such as `_heapq`."""
    return home == module_name or home.startswith(f"{module_name}.") or home == f"_{module_name}"


def _class_members(classes: Mapping[type, str]) -> Iterator[_Member]:
    """Yield each class and what it defines, bases before subclasses so that inherited text keeps its first name.

    Members of a base class that is not public itself are yielded under the public class that inherits them.
    """
    for cls, class_name in sorted(classes.items(), key=lambda item: len(item[0].__mro__)):
        yield class_name, cls
        for base in cls.__mro__:
            if base is not cls and base in classes:
                continue
            for name, member in vars(base).items():
                if not name.startswith("_") and _is_documented_kind(member) and not _repeats_base(base, name, member):
                    yield f"{class_name}.{name}", member


def _is_documented_kind(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(
        member, classmethod | staticmethod | property | functools.cached_property
    )


def _repeats_base(cls: type, name: str, member: object) -> bool:
    """Tell whether a base class already documents this member with the same words."""
    text = _docstring(_unwrap(member))
    return any(name in vars(base) and _docstring(_unwrap(vars(base)[name])) == text for base in cls.__mro__[1:])


def _unwrap(value: object) -> object:
    """Return the function behind a bound, class or static method, so that one function has one identity."""
    return getattr(value, "__func__", value)


def _docstring(value: object) -> str:
    """Return the cleaned docstring; a class without one of its own speaks through its initialiser."""
    if isinstance(value, type):
        doc = vars(value).get("__doc__")
        initialiser = vars(value).get("__init__")
        if not doc and inspect.isfunction(initialiser):
            doc = initialiser.__doc__
    else:
        doc = getattr(value, "__doc__", None)
    return inspect.cleandoc(doc).strip() if isinstance(doc, str) else ""


def _document_text(value: object) -> str:
    """Return the docstring cut to about `MAX_WORDS` words, or "" where it says nothing of its own."""
    text = _docstring(value)
    if _SIGNATURE_ONLY.fullmatch(text) or _BOILERPLATE.fullmatch(text) or len(text.split()) < MIN_WORDS:
        return ""
    return _cut(text)


def _cut(text: str) -> str:
    """Keep whole paragraphs up to `MAX_WORDS` words; a longer first paragraph is cut after a sentence or a word."""
    kept: list[str] = []
    n_words = 0
    for paragraph in re.split(r"\n\s*\n", text):
        n_words += len(paragraph.split())
        if n_words > MAX_WORDS:
            break
        kept.append(paragraph)
    return "\n\n".join(kept) or _cut_paragraph(text)


def _cut_paragraph(text: str) -> str:
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        if len(" ".join([*kept, sentence]).split()) > MAX_WORDS:
            break
        kept.append(sentence)
    return " ".join(kept) or " ".join(text.split()[:MAX_WORDS])
