"""An expert at the desk, without a browser: signs in, opens queries and marks what is offered there.

Speaks to the app as its page does: one route for questions, and one for marks.
"""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from benchmarks.load_app import RunningApp, password_of
from benchmarks.load_seed import Seeded

_TIMEOUT_S = 60.0
_RETRY_S = 2.5  # as in outbox.js
Payload = dict[str, Any]


class Page:
    """One open page of a person."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._name = secrets.token_hex(16)

    @classmethod
    async def open(cls, app: RunningApp, name: str) -> "Page":
        """Sign in."""
        client = httpx.AsyncClient(base_url=app.url, timeout=_TIMEOUT_S)
        answer = await client.post("/login", data={"username": name, "password": password_of(name)})
        answer.raise_for_status()
        return cls(client)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, question: str, about: Payload) -> tuple[dict[str, Payload], float]:
        """Ask as a page does; return the last part of the answer, and seconds until all of it is here.

        Raises:
            RuntimeError: if the server cannot answer.
        """
        started = time.perf_counter()
        answer = await self._client.post(f"/era/ask/{question}", json={**about, "page": self._name})
        took_s = time.perf_counter() - started
        heard: dict[str, Payload] = json.loads(answer.raise_for_status().text.splitlines()[-1])
        if "trouble" in heard:
            raise RuntimeError(f"{question} was not answered: {heard['trouble']}")
        return heard, took_s

    async def deliver(self, marks: Payload) -> tuple[Payload, float]:
        """Send marks; return what is answered, and seconds until it is here."""
        started = time.perf_counter()
        answer = await self._client.post("/era/marks", json=marks)
        took_s = time.perf_counter() - started
        return dict(answer.raise_for_status().json()), took_s


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A mark that the app said is stored."""

    author: str
    client_id: str
    sequence: int
    query_id: int
    doc_id: str
    grade: float


@dataclass
class Expert:
    """A person who judges; `open_s` are the seconds that each opening of a query took, `n_retries` what had to wait."""

    name: str
    page: Page
    seeded: Seeded
    random: Random
    open_s: list[float] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    n_retries: int = 0
    _offered: list[tuple[int, str, int]] = field(default_factory=list)
    _visited: set[int] = field(default_factory=set)
    _last: Payload = field(default_factory=dict)
    _client_id: str = field(default_factory=lambda: f"load-{secrets.token_hex(12)}")
    _sequence: int = 0

    @property
    def _ids(self) -> Payload:
        return {"collection_id": self.seeded.collection_id, "label_set_id": self.seeded.label_set_id}

    async def open_queries(self, n_documents: int) -> None:
        """Open queries until so many documents are offered that this person has not judged.

        Raises:
            RuntimeError: if no query is left.
        """
        while len(self._offered) < n_documents:
            left = [query_id for query_id in self.seeded.query_ids if query_id not in self._visited]
            if not left:
                raise RuntimeError(f"{self.name} has judged everything that was seeded.")
            query_id = self.random.choice(left)
            self._visited.add(query_id)
            wanted = {**self._ids, "query_id": query_id, "view": "pool", "ranker": "aligned"}
            heard, took_s = await self.page.ask("judge.open", wanted)
            desk = heard["judge"]
            if desk["error"]:
                raise RuntimeError(desk["error"])
            self.open_s.append(took_s)
            said = desk["said"].get(str(query_id), {})
            self._offered += [
                (query_id, card["doc_id"], place)
                for place, card in enumerate(desk["cards"], start=1)
                if card["doc_id"] not in said
            ]

    async def mark(self) -> float:
        """Mark one document; return seconds until it was acknowledged, retries included.

        Raises:
            RuntimeError: if the app refuses it.
        """
        await self.open_queries(1)
        query_id, doc_id, place = self._offered.pop(0)
        self._sequence += 1
        entry = {
            **self._ids,
            "person": self.name,
            "made_at": int(time.time() * 1000),
            "query_id": query_id,
            "doc_id": doc_id,
            "grade": self.random.randrange(2),
            "unsure": False,
            "note": "",
            "rank": place,
            "ranker": "pool",
            "seconds": round(self.random.uniform(2, 20), 3),
            "together_with": "",
            "is_adjudication": False,
            "client_id": self._client_id,
            "sequence": self._sequence,
        }
        took_s = await self._deliver(entry)
        self.acknowledged.append(
            Acknowledged(self.name, self._client_id, self._sequence, query_id, doc_id, float(entry["grade"]))
        )
        self._last = entry
        return took_s

    async def deliver_again(self) -> None:
        """Send the last mark once more, as a page does that lost the answer."""
        await self._deliver(self._last)

    async def ask_nothing(self) -> float:
        """Send a delivery that the app turns away at the door: nothing is read or stored; return the seconds."""
        message = {"batch": "nothing", "person": f"not {self.name}", **self._ids, "marks": []}
        answer, took_s = await self.page.deliver(message)
        if not answer.get("error"):
            raise RuntimeError(f"expected to be turned away, got {answer}")
        return took_s

    async def list_queries(self) -> float:
        """Ask for the query list; return the seconds."""
        heard, took_s = await self.page.ask("judge.list", self._ids)
        if len(heard["queries"].get("list", [])) != self.seeded.n_queries:
            raise RuntimeError(f"expected {self.seeded.n_queries} queries, got {heard}")
        return took_s

    async def look(self) -> Payload:
        """Do what an open page does on its own every few seconds, whatever else is under way; return its header."""
        heard, _ = await self.page.ask("page.look", self._ids)
        return heard["header"]

    async def _deliver(self, entry: Payload) -> float:
        message = {"person": self.name, "collection_id": self.seeded.collection_id, "marks": [entry]}
        started = time.perf_counter()
        while True:
            sent = time.perf_counter()
            batch = f"{self._client_id}-{secrets.token_hex(8)}"
            saved, took_s = await self.page.deliver({**message, "batch": batch})
            if not saved.get("retry"):
                break
            self.n_retries += 1
            await asyncio.sleep(_RETRY_S)
        if saved.get("error") or f"{entry['client_id']}:{entry['sequence']}" not in saved["stored"]:
            raise RuntimeError(f"{self.name} was refused: {saved}")
        return sent - started + took_s
