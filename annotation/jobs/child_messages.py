"""What passes between the app and the process that reads for it: frames of JSON, and values made of it by their types.

Nothing is unpickled: what reads a hostile file could be made to write anything, and here it can only write values of
the types that the functions declare, and errors of ours.
"""

import base64
import builtins
import json
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Union, get_args, get_origin, get_type_hints

from annotation.errors import AnnotationError
from era.errors import EraError, FormatError

_LENGTH = struct.Struct(">Q")


def send(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write a message to the process at the other end; dataclasses become objects, paths and times become texts."""
    content = json.dumps(message, default=_plain, separators=(",", ":")).encode("ascii")
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """Return the next message of the process at the other end.

    Raises:
        EOFError: if that process is gone.
    """
    length = stream.read(_LENGTH.size)
    content = stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
    if not content:
        raise EOFError("the other process is gone")
    message: dict[str, Any] = json.loads(content)
    return message


def name_of(function: Callable[..., Any]) -> str:
    """Return what a function of a module is called in a message.

    Raises:
        ValueError: if another process could not find it.
    """
    if "<" in function.__qualname__:
        raise ValueError(f"expected a function of a module, got {function.__qualname__}")
    return f"{function.__module__}:{function.__qualname__}"


def function_named(name: str) -> Callable[..., Any]:
    """Return the function that is called so, importing its module."""
    module, _, within = name.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), within)
    return function


def arguments_for(function: Callable[..., Any], values: Sequence[Any]) -> list[Any]:
    """Return arguments as they were, made of what has arrived for a function."""
    hints = get_type_hints(function)
    hints.pop("return", None)
    return [made(kind, value) for kind, value in zip(hints.values(), values, strict=False)]


def returned_by(function: Callable[..., Any], value: Any) -> Any:
    """Return what a function has returned, made of what has arrived of it."""
    return made(get_type_hints(function)["return"], value)


def made(kind: Any, value: Any) -> Any:
    """Return a value of a type, made of what has arrived of it."""
    return _maker(kind)(value)


def error_as_plain(error: BaseException) -> dict[str, Any]:
    """Return an error as it can be sent."""
    parts: list[Any] = [str(error)]
    if isinstance(error, FormatError):
        parts = [error.problem, error.file, error.line, error.column, error.unit]
    return {"type": type(error).__name__, "parts": parts}


def error_made(about: Mapping[str, Any]) -> Exception:
    """Return an error of ours, or of Python, as it was; any other becomes a `RuntimeError` that names it."""
    name, parts = about["type"], about["parts"]
    kind = _errors().get(name) or getattr(builtins, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(*parts)
    except TypeError:  # of Python's, some are not made of one text
        pass
    return RuntimeError(f"{name}: {parts[0]}")


def _errors() -> dict[str, type[Exception]]:
    found: dict[str, type[Exception]] = {}
    waiting: list[type[Exception]] = [EraError, AnnotationError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Path):
        return str(value.resolve())  # the other process may be in another folder
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected a value that JSON can hold, got {type(value).__name__}")


@lru_cache(maxsize=256)
def _maker(kind: Any) -> Callable[[Any], Any]:
    """Return what makes values of a type of what has arrived of them."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_maker(kind)
    if origin in (Union, types.UnionType):
        some = next((make for each in inner if (make := _maker(each)) is not _as_it_is), _as_it_is)
        kept = (str, type(None)) if str in inner else type(None)
        return _as_it_is if some is _as_it_is else lambda value: value if isinstance(value, kept) else some(value)
    if origin is tuple and inner[-1] is not Ellipsis:
        makers = [_maker(each) for each in inner]
        return lambda values: tuple(make(value) for make, value in zip(makers, values, strict=True))
    if origin in (list, tuple, Sequence):
        of, gather = _maker(inner[0]), list if origin is list else tuple
        return gather if of is _as_it_is else lambda values: gather(map(of, values))
    if origin in (dict, Mapping):
        of = _maker(inner[1])
        return _as_it_is if of is _as_it_is else lambda values: {key: of(value) for key, value in values.items()}
    if kind is datetime:
        return datetime.fromisoformat
    if kind is bytes:
        return base64.b64decode
    return kind if isinstance(kind, type) and issubclass(kind, Path | Enum) else _as_it_is


def _dataclass_maker(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    makers = {name: make for name, hint in hints.items() if (make := _maker(hint)) is not _as_it_is}
    return lambda values: kind(**{**values, **{name: make(values[name]) for name, make in makers.items()}})


def _as_it_is(value: Any) -> Any:
    return value
