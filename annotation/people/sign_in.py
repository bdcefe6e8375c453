"""Who may sign in by name and password, and how fast passwords may be guessed.

What is known of failed tries lives in memory, is bounded, and is forgotten with the process.
"""

import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from annotation.errors import TooManyTriesError
from annotation.people.password_file import Person, hash_password

FREE_TRIES = 5
"""How many passwords may be wrong before the next try has to wait."""

LONGEST_WAIT_S = {"name": 300.0, "address": 30.0, "place": 300.0}
"""How long it has to wait at most, by what is counted; people share addresses, so there it is short.

A place is a name at an address where that person has signed in before. It is counted by itself, so that guesses from
elsewhere, and of others at the same address, do not keep people out.
"""

_FORGOTTEN_AFTER_S = 900.0  # without another wrong password
_MOST_KEPT = 10_000  # names and addresses with wrong passwords, and places where people signed in
_AT_ONCE = 2  # passwords that are checked; each takes 64 MiB


KeptT = TypeVar("KeptT")


@dataclass(frozen=True, slots=True)
class _Failures:
    n: int
    last_s: float


class SignIn:
    """Checks names and passwords, ever more slowly where they are wrong."""

    def __init__(self, people: Sequence[Person], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the people of the file; `clock` tells seconds."""
        self._people = {person.name: person for person in people}
        self._clock = clock
        self._hasher = PasswordHasher()
        self._nobody = Person("", hash_password(secrets.token_urlsafe()))
        self._lock, self._checking = Lock(), Semaphore(_AT_ONCE)
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._places: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._proven: dict[str, bytes] = {}  # name -> keyed digest of the right password: programs send it each time

    def is_right(self, name: str, password: str, address: str) -> bool:
        """Return whether a person of this name has this password; takes as long for names that are not in the file.

        Args:
            name: as it was typed.
            password: likewise.
            address: of the network, where the try comes from.

        Raises:
            TooManyTriesError: if too many were wrong; nothing is checked then.
        """
        by_name, by_address = ("name", _digest(name)), ("address", _digest(_network(address)))
        by_place = ("place", by_name[1] + by_address[1])
        with self._lock:
            counted = (by_place,) if by_place in self._places else (by_name, by_address)
            self._require_patience(counted)
            before = [self._failures.get(key) for key in counted]
            own = [self._count(key) for key in counted]  # before it is known to be wrong: many may come at once
        if not self._matches(name, password):
            return False
        with self._lock:
            for key, former, failures in zip(counted, before, own, strict=True):
                if key != by_address or former is None:
                    self._failures.pop(key, None)
                elif self._failures.get(key) is failures:
                    self._failures[key] = former
            _keep(self._places, by_place, True)
        return True

    def _matches(self, name: str, password: str) -> bool:
        """Check a password against the person's, or against one that cannot be known."""
        digest = hmac.digest(self._key, password.encode(), "sha256")
        if hmac.compare_digest(self._proven.get(name, b""), digest):
            return True
        person = self._people.get(name, self._nobody)
        with self._checking:
            is_right = self._verifies(person if person.is_hashed else self._nobody, password)
        if not person.is_hashed:
            is_right = hmac.compare_digest(person.secret.encode(), password.encode())
        if is_right:
            self._proven[name] = digest
        return is_right

    def _verifies(self, person: Person, password: str) -> bool:
        try:
            return self._hasher.verify(person.secret, password)
        except (VerificationError, InvalidHashError):  # another password, or a hash that lacks its end
            return False

    def _require_patience(self, keys: Iterable[tuple[str, str]]) -> None:
        """Check that nothing has to wait.

        Raises:
            TooManyTriesError: if something has.
        """
        wait_s = max(self._wait_s(key) for key in keys)
        if wait_s > 0:
            raise TooManyTriesError(math.ceil(wait_s))

    def _wait_s(self, key: tuple[str, str]) -> float:
        """Return how long the next try has to wait: twice as long after each one that was wrong."""
        failures = self._failures.get(key)
        if failures is None or failures.n < FREE_TRIES:
            return 0.0
        wait_s = min(2.0 ** (failures.n - FREE_TRIES), LONGEST_WAIT_S[key[0]])
        return failures.last_s + wait_s - self._clock()

    def _count(self, key: tuple[str, str]) -> _Failures:
        now_s, former = self._clock(), self._failures.get(key)
        is_fresh = former is None or now_s - former.last_s > _FORGOTTEN_AFTER_S
        failures = _Failures(1 if former is None or is_fresh else former.n + 1, now_s)
        _keep(self._failures, key, failures)
        return failures


def _keep(kept: OrderedDict[tuple[str, str], KeptT], key: tuple[str, str], value: KeptT) -> None:
    """Keep a value as the newest; the oldest go where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def _digest(text: str) -> str:
    """Return a text of fixed length that stands for a name or an address, however long it is."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _network(address: str) -> str:
    """Return what one machine is known by: its address, or the network of 64 bits that a machine has with IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
