"""Zips, unpacked into a folder: under numbers, so that no name in a zip decides where anything is written."""

import lzma
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from era.errors import FormatError
from era.io import limits
from era.io.files import Budget, Entry, in_order, is_hidden
from era.io.limits import most_unpacked, size_in_words

_BLOCK = 1024 * 1024
_NAMES_ARE_UNICODE, _IS_ENCRYPTED = 0x800, 0x1  # flags of a member
_OLD_CODECS = ("cp932", "gb18030", "big5", "cp949", "cp866", "cp1251", "cp1252", "cp1250", "cp1253", "cp850")
_ROOTED = re.compile("/|[A-Za-z]:")


def unpack(archive: Path, folder: Path) -> tuple[list[Entry], list[str]]:
    """Return the files of a zip, written into a folder, and what a person should know; hidden ones are left out.

    Where everything in the zip lies in one folder, that folder is left out of the names. Backslashes, as some programs
    for Windows write them, part folders like slashes.

    Raises:
        FormatError: if the zip is damaged, encrypted, holds a path that leads outside, a link or a name twice, or
            unpacks to more than it could if it held text.
    """
    found = []
    try:
        with zipfile.ZipFile(archive) as opened:
            members, remark = _named(opened.infolist(), archive.name)
            _check(members, archive, folder)
            members = {name: member for name, member in members.items() if not any(map(is_hidden, name.split("/")))}
            most = most_unpacked(archive.stat().st_size)
            budget = Budget(archive.stat().st_size)
            for number, (name, member) in enumerate(members.items(), start=1):
                target = folder / f"{number:06}"
                most -= _write_member(opened, name, member, target, most, archive.name)
                found.append(Entry(name, target, budget))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise FormatError(
            f"this zip is damaged or of an unknown kind ({error}). Zip it again.", archive.name
        ) from error
    except OSError as error:
        raise FormatError(f"could not be unpacked: {error.strerror or error}.", archive.name) from error
    roots = {entry.name.split("/")[0] for entry in found}
    if len(roots) == 1 and all("/" in entry.name for entry in found):
        found = [replace(entry, name=entry.name.partition("/")[2]) for entry in found]
    return in_order(found, archive.name), remark


def _named(infos: Sequence[zipfile.ZipInfo], archive: str) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """Return the files by their paths within the zip, and a remark if the encoding of these had to be guessed.

    Raises:
        FormatError: if a path leads outside, or two are the same.
    """
    paths, remark = _decoded(infos, archive)
    paths = [path.replace("\\", "/") for path in paths]
    files = [(_inside(path, archive), info) for path, info in zip(paths, infos, strict=True) if path[-1:] != "/"]
    if len(named := dict(files)) < len(files):
        [(twice, _)] = Counter(name for name, _ in files).most_common(1)
        raise FormatError(f"the zip holds {twice[:100]!r} more than once. Zip it again.", archive)
    return named, remark


def _decoded(infos: Sequence[zipfile.ZipInfo], archive: str) -> tuple[list[str], list[str]]:
    """Return the paths as they were meant, which for old programs is a guess, and a remark if it was one.

    What is not marked as Unicode is cp437 by the standard, but is written in whatever the system of the author uses.
    """
    paths = [info.orig_filename.partition("\0")[0] for info in infos]
    old = [
        path.encode("cp437") for path, info in zip(paths, infos, strict=True) if not info.flag_bits & _NAMES_ARE_UNICODE
    ]
    together = b"\n".join(path for path in old if not path.isascii())
    if not (codec := _codec_of(together)):
        return paths, []
    decoded = [
        path if info.flag_bits & _NAMES_ARE_UNICODE else path.encode("cp437").decode(codec, "replace")
        for path, info in zip(paths, infos, strict=True)
    ]
    if codec == "utf-8":
        return decoded, []
    return decoded, [
        f"The names of the files in {archive} are not in Unicode; they were read as {codec}, which is a guess."
    ]


def _codec_of(names: bytes) -> str:
    """Return the codec of names that are not marked as Unicode; empty if they are in cp437 as they should be."""
    from charset_normalizer import from_bytes

    if not names:
        return ""
    try:
        names.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    if all(letter.isascii() or letter.isalpha() for letter in names.decode("cp437")):
        return ""
    best = from_bytes(names, cp_isolation=list(_OLD_CODECS), threshold=0.5).best()
    return best.encoding if best else ""


def _inside(path: str, archive: str) -> str:
    """Return a path without its detours.

    Raises:
        FormatError: if it leads outside of the zip, or is none.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and not parts:
            break
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    else:
        if parts and not _ROOTED.match(path):
            return "/".join(parts)
    raise FormatError(
        f"the zip holds the path {path[:100]!r}, which leads outside of it. Nothing was unpacked.", archive
    )


def _check(members: Mapping[str, zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    n_bytes = 0
    for name, member in members.items():
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FormatError(f"the zip holds the link {name[:100]!r}. Put the file itself into it.", archive.name)
        if member.flag_bits & _IS_ENCRYPTED:
            raise FormatError("the zip is encrypted. Unpack it and zip it without a password.", archive.name)
        n_bytes += member.file_size
    limit = most_unpacked(archive.stat().st_size)
    if len(members) > limits.MAX_MEMBERS or n_bytes > limit:
        raise FormatError(
            f"the zip holds {len(members):,} files with {size_in_words(n_bytes)}; at most {limits.MAX_MEMBERS:,} with "
            f"{size_in_words(limit)} can be unpacked from it. Unpack it yourself and give the folder.",
            archive.name,
        )
    if n_bytes > shutil.disk_usage(folder).free * 0.9:
        raise FormatError(f"there is no room on the disk to unpack {size_in_words(n_bytes)}.", archive.name)


def _write_member(
    opened: zipfile.ZipFile, name: str, member: zipfile.ZipInfo, target: Path, most: int, archive: str
) -> int:
    """Write one member and return its bytes, which are counted and not believed."""
    n_bytes = 0
    try:
        with opened.open(member) as source, target.open("wb") as written:
            while block := source.read(_BLOCK):
                n_bytes += len(block)
                if n_bytes > most:
                    raise FormatError(f"{name[:100]!r} unpacks to more than it says.", archive)
                written.write(block)
    except RuntimeError as error:  # what zipfile raises for encrypted members
        raise FormatError(f"{name[:100]!r} cannot be unpacked ({error}).", archive) from error
    return n_bytes
