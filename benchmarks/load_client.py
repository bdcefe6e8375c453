"""An expert at the desk, without a browser: signs in, opens queries and marks what is offered there.

Speaks to the app as its page does: an event joins Gradio's queue, and the answer comes as a server-sent event; marks go
to a route of their own.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from benchmarks.load_app import Functions, RunningApp, find_functions, password_of
from benchmarks.load_seed import Seeded

_TIMEOUT_S = 60.0
_RETRY_S = 2.5  # as in outbox.js
Payload = dict[str, Any]


class Page:
    """One open page of a person; one event at a time is under way."""

    def __init__(self, client: httpx.AsyncClient, functions: Functions) -> None:
        self._client, self._functions = client, functions
        self._session = secrets.token_hex(6)

    @classmethod
    async def open(cls, app: RunningApp, name: str) -> "Page":
        """Sign in and read what can be asked."""
        client = httpx.AsyncClient(base_url=app.url, timeout=_TIMEOUT_S)
        answer = await client.post("/login", data={"username": name, "password": password_of(name)})
        answer.raise_for_status()
        return cls(client, find_functions((await client.get("/config")).raise_for_status().json()))

    def another(self) -> "Page":
        """Return a second session of the same person."""
        return Page(self._client, self._functions)

    async def close(self) -> None:
        """Close the connections, also those of other sessions of the person."""
        await self._client.aclose()

    async def send(
        self, panel: str, event: str, event_data: Payload | None, inputs: Sequence[Payload] = ()
    ) -> tuple[Any, float]:
        """Send an event; return the first value of its answer, and seconds from sending until the answer is here.

        Raises:
            RuntimeError: if the server does not answer the event.
        """
        function, component = self._functions[panel, event]
        body = {
            "data": list(inputs),
            "event_data": event_data,
            "fn_index": function,
            "trigger_id": component,
            "session_hash": self._session,
        }
        started = time.perf_counter()
        joined = await self._client.post("/gradio_api/queue/join", json=body)
        event_id = joined.raise_for_status().json()["event_id"]
        answer, took_s = None, 0.0
        params = {"session_hash": self._session}
        async with self._client.stream("GET", "/gradio_api/queue/data", params=params) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed" and message["event_id"] == event_id:
                    took_s, answer = time.perf_counter() - started, message
        if answer is None or not answer["success"]:
            raise RuntimeError(f"{panel} did not answer {event!r}: {answer}")
        return answer["output"]["data"][0], took_s

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
    _clock: Page = field(init=False)
    _offered: list[tuple[int, str, int]] = field(default_factory=list)
    _visited: set[int] = field(default_factory=set)
    _last: Payload = field(default_factory=dict)
    _client_id: str = field(default_factory=lambda: f"load-{secrets.token_hex(12)}")
    _sequence: int = 0

    def __post_init__(self) -> None:
        """Give the page's clock a session of its own, since a session here has one event under way."""
        self._clock = self.page.another()

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
            desk, took_s = await self.page.send("era-judge", "open", wanted)
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

    async def acknowledge_guidelines(self) -> float:
        """Say that the guidelines were read, as was said before; return the seconds."""
        answer, took_s = await self.page.send("era-judge", "acknowledge", {**self._ids, "text_hash": "0" * 64})
        if answer.get("error"):
            raise RuntimeError(answer["error"])
        return took_s

    async def list_queries(self) -> float:
        """Ask for the query list; return the seconds."""
        answer, took_s = await self.page.send("era-judge", "list", self._ids)
        if answer.get("error") or len(json.loads(answer["json"])) != self.seeded.n_queries:
            raise RuntimeError(f"expected {self.seeded.n_queries} queries, got {answer}")
        return took_s

    async def look(self) -> Payload:
        """Do what an open page does on its own every few seconds, whatever else is under way; return its header."""
        header, _ = await self._clock.send("timer", "tick", None, [self._ids])
        return dict(header)

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
