"""Signing in: the right password of a known name, and less and less patience with guesses."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from starlette.exceptions import HTTPException

from annotation.errors import TooManyTriesError
from annotation.people import password_file
from annotation.people import sign_in as module_of_sign_in
from annotation.people.password_file import Person
from annotation.people.sign_in import SignIn
from annotation.ui.server.pages import PasswordCheck
from tests.asynchronous import finish

QUICK = PasswordHasher(time_cost=1, memory_cost=64)  # KiB; hundreds of passwords are tried here
ANN = Person("ann", QUICK.hash("café:1"))
BEN = Person("ben", "plain")  # as older files have it
HOME, CAFE = "192.0.2.1", "198.51.100.7"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _hashes_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (password_file, module_of_sign_in):
        monkeypatch.setattr(module, "PasswordHasher", lambda: QUICK)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(clock: Clock) -> SignIn:
    return SignIn([ANN, BEN], clock)


def wait_of(sign_in: SignIn, name: str, address: str, password: str = "wrong") -> int:
    """Return how long a try has to wait; 0 for one that was looked at."""
    try:
        sign_in.is_right(name, password, address)
    except TooManyTriesError as error:
        return error.wait_s
    return 0


def test_the_password_of_the_name_is_right_and_nothing_else(sign_in: SignIn) -> None:
    tries = [
        ("ann", "café:1"), ("ben", "plain"),
        ("ann", "plain"), ("ann", ""), ("ann", ANN.secret), ("ben", "plain "), ("cleo", "plain"), ("", ""),
    ]  # fmt: skip
    right = [sign_in.is_right(name, password, f"192.0.2.{place}") for place, (name, password) in enumerate(tries)]
    assert right == [True] * 2 + [False] * 6
    assert not SignIn([Person("ann", ANN.secret[:-3])]).is_right("ann", "café:1", HOME)  # a hash without its end
    assert sign_in.is_right("ann", "café:1", HOME)  # and again, from what is remembered
    assert not sign_in.is_right("ann", "café:2", HOME)


def test_each_wrong_password_after_five_doubles_the_wait(sign_in: SignIn, clock: Clock) -> None:
    waits = []
    for guess in range(17):
        clock.now_s += (wait := wait_of(sign_in, "ann", f"192.0.2.{guess}", f"guess {guess}"))
        waits.append(wait)
        if wait:
            assert wait_of(sign_in, "ann", f"192.0.2.{guess}", f"guess {guess}") == 0
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_waiting_counts_for_nothing_and_fifteen_minutes_forget_everything(sign_in: SignIn, clock: Clock) -> None:
    assert [wait_of(sign_in, "ann", HOME) for _ in range(40)] == [0] * 5 + [1] * 35
    clock.now_s += 0.5
    with pytest.raises(TooManyTriesError, match=r"Too many wrong passwords\. Wait 1 second, then try again\."):
        sign_in.is_right("ann", "café:1", HOME)  # even the right one
    clock.now_s += 901
    assert [wait_of(sign_in, "ann", HOME) for _ in range(6)] == [0] * 5 + [1]


def test_a_name_that_nobody_has_waits_like_any_other(sign_in: SignIn) -> None:
    assert [wait_of(sign_in, "cleo", f"192.0.2.{place}") for place in range(6)] == [0] * 5 + [1]


def test_one_address_cannot_try_many_names_and_others_there_wait_half_a_minute_at_most(
    sign_in: SignIn, clock: Clock
) -> None:
    assert [wait_of(sign_in, f"name {n}", HOME) for n in range(300)] == [0] * 5 + [1] * 295
    for n in range(300, 320):
        clock.now_s += 30
        assert wait_of(sign_in, f"name {n}", HOME) == 0
    assert wait_of(sign_in, "ann", HOME, "café:1") == 30
    clock.now_s += 30
    assert sign_in.is_right("ann", "café:1", HOME)
    assert wait_of(sign_in, "ben", CAFE, "plain") == 0  # another address never waits for it


def test_guesses_keep_nobody_out_where_they_signed_in_before(sign_in: SignIn, clock: Clock) -> None:
    assert sign_in.is_right("ann", "café:1", HOME)
    for guess in range(40):
        clock.now_s += wait_of(sign_in, "ann", CAFE, f"guess {guess}")
    for n in range(40):
        clock.now_s += wait_of(sign_in, f"name {n}", HOME)
    assert sign_in.is_right("ann", "café:1", HOME)
    assert [wait_of(sign_in, "ann", HOME) for _ in range(6)] == [0] * 5 + [1]  # but there, too, it is counted


def test_signing_in_does_not_prolong_what_others_at_the_address_wait_for(sign_in: SignIn, clock: Clock) -> None:
    assert [wait_of(sign_in, f"name {n}", HOME) for n in range(5)] == [0] * 5
    clock.now_s += 1
    assert sign_in.is_right("ben", "plain", HOME)
    assert wait_of(sign_in, "ann", HOME, "café:1") == 0


def test_addresses_of_one_machine_count_as_one(sign_in: SignIn) -> None:
    waits = [wait_of(sign_in, f"name {n}", f"2001:db8:1:2::{n:x}") for n in range(6)]
    assert waits == [0] * 5 + [1]
    assert wait_of(sign_in, "name 7", "2001:db8:1:3::1") == 0


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(clock: Clock) -> None:
    sign_in = SignIn([Person("ann", PasswordHasher().hash("café:1"))], clock)  # slow enough for all to be under way
    with ThreadPoolExecutor(30) as pool:
        waits = list(pool.map(lambda n: wait_of(sign_in, "ann", HOME, f"guess {n}"), range(30)))
    assert sorted(waits) == [0] * 5 + [1] * 25


def test_what_is_remembered_of_wrong_passwords_is_bounded(
    sign_in: SignIn, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_of_sign_in, "_MOST_KEPT", 20)
    monkeypatch.setattr(SignIn, "_verifies", lambda *_: False)
    for n in range(100):
        wait_of(sign_in, "x" * 10_000 + str(n), f"192.0.2.{n}")
    assert len(sign_in._failures) == 20


def test_unknown_names_and_old_lines_take_as_long_as_known_names(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verifies = SignIn._verifies

    def verify(self: SignIn, person: Person, password: str) -> bool:
        verified.append(person.secret)
        return verifies(self, person, password)

    monkeypatch.setattr(SignIn, "_verifies", verify)
    for name in ("ann", "ben", "cleo"):
        sign_in.is_right(name, "wrong", HOME)
    assert len(verified) == 3
    assert all(each.startswith("$argon2id$") for each in verified)
    assert [each.split("$")[3] for each in verified] == [ANN.secret.split("$")[3]] * 3  # with the same effort


def test_a_right_password_is_quick_the_second_time(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sign_in.is_right("ann", "café:1", HOME)

    def verifies(*_: object) -> bool:
        raise AssertionError("looked at again")

    monkeypatch.setattr(SignIn, "_verifies", verifies)
    assert all(sign_in.is_right("ann", "café:1", CAFE) for _ in range(20))


def test_checking_a_password_holds_up_nothing_else() -> None:
    goes_on = threading.Event()

    class Slow(SignIn):
        def is_right(self, name: str, password: str, address: str) -> bool:
            return goes_on.wait(10)

    async def check() -> bool:
        asked = asyncio.create_task(PasswordCheck(Slow([])).is_right("ann", "café:1"))
        await asyncio.sleep(0)
        goes_on.set()
        return await asked

    assert finish(check())


def test_the_server_tells_programs_when_to_try_again(sign_in: SignIn) -> None:
    check = PasswordCheck(sign_in)
    for _ in range(5):
        assert not finish(check.is_right("ann", "wrong"))
    with pytest.raises(HTTPException) as refused:
        finish(check.is_right("ann", "café:1"))
    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "1"})
