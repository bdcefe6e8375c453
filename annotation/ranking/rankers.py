"""The ways to rank a collection's documents: what names one, which there are, which is in use, how one searches."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import storage.comparisons
import storage.label_sets
import storage.training_runs
from annotation.errors import NotAllowedError, NotFoundError, NotReadyError
from annotation.retrieval.endpoint_costs import EndpointCosts, endpoint_costs
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace, find_training_run
from era.adapter import HeldOut
from era.encoders.base import Vectors
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.method.certainty import Expectation
from era.method.reranking import N_REREAD, RerankingRetriever
from era.ranking_name import RankingName
from era.retriever import Retriever
from era.types import Query, Ranking
from storage.records import JobState, LabelSetRecord, QueryRecord, SnapshotRecord, TrainingRunRecord

VARIANTS_GROUP = "other combinations"
SNAPSHOTS_GROUP = "snapshots"
REREAD_LABEL = f", top {N_REREAD} read by the strong model"
_RUN = re.compile(r"run-([0-9]{1,15})")
_STORED = re.compile(r"snap-([A-Za-z0-9]{1,64})-([0-9])")


class RankingKey(RankingName):
    """What names a ranking of a collection: its base is `LIGHT`, `ALIGNED`, `STRONG`, `BM25`, a run or a stored side.

    Addresses, events and rows hold it as it is.
    """

    __slots__ = ()

    @classmethod
    def of_run(cls, training_run_id: int) -> "RankingKey":
        """Return the ranking of a training run."""
        return cls(f"run-{training_run_id}")

    @classmethod
    def of_snapshot(cls, slug: str, side: int) -> "RankingKey":
        """Return the ranking that a side of a snapshot stores."""
        return cls(f"snap-{slug}-{side}")

    @property
    def run_id(self) -> int | None:
        """Return the id of the training run; None for other rankings."""
        found = _RUN.fullmatch(self.base)
        return int(found[1]) if found else None

    @property
    def stored_side(self) -> tuple[str, int] | None:
        """Return slug and side of the snapshot; None for other rankings."""
        found = _STORED.fullmatch(self)
        return (found[1], int(found[2])) if found else None

    @property
    def can_be_reread(self) -> bool:
        """Return whether the light embedder's index is searched, so that the strong model may read what is on top."""
        return self.base in (LIGHT, ALIGNED) or self.run_id is not None

    def without_words(self) -> "RankingKey":
        """Return the ranking without them; what is left of BM25 alone are the light vectors beside it."""
        return LIGHT if self.base == BM25 else self.base


def read_keys(text: str) -> list[RankingKey]:
    """Return the rankings that an address names, with a tilde between them."""
    return [RankingKey(key.strip()) for key in text.split("~")]


def print_keys(keys: Iterable[RankingKey]) -> str:
    """Return how an address names several rankings."""
    return "~".join(keys)


AFTER = RankingKey("after")  # stands for a training run in what that measured (`annotation.training.train`)
LIGHT, ALIGNED, STRONG, BM25 = map(RankingKey, ("light", "aligned", "strong", "bm25"))
_ALONE = (LIGHT, STRONG)  # what everything else is compared with, and so without matching words


@dataclass(frozen=True, slots=True)
class Ranker:
    """One way to rank the documents, as it is offered in lists.

    Attributes:
        key: names it in URLs and events.
        label: what a person calls it.
        run: number of its training run, with the recipe where that is not the usual one; empty for other rankers.
        group: under which heading a list shows it; empty for none.
    """

    key: RankingKey
    label: str
    run: str = ""
    group: str = ""


def list_rankers(workspace: Workspace, collection_id: int, is_comparing: bool = False) -> list[Ranker]:
    """Return every way to rank this collection, the plainest first, then training runs from new to old.

    Matching words count in all of them but the light model alone, which everything is compared with; at the end, under
    a heading of their own, what they are like otherwise. Where rankings are compared, BM25 alone, the strong model if
    it has read every document, and the sides of snapshots are offered as well; the judging desk cannot move their
    queries after what was judged.
    """
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
        snapshots = storage.comparisons.list_snapshots(session, collection_id) if is_comparing else ()
    bases = _bases(finished(runs))
    alone = []
    if is_comparing:
        opened = workspace.opened(collection_id)
        alone.append(Ranker(BM25, "BM25, matching words alone"))
        if opened is not None and opened.strong_reading.is_ready:
            bases.insert(2, _Base(STRONG, "strong model"))
    kept = [
        Ranker(
            RankingKey.of_snapshot(snapshot.slug, place),
            imported_label(snapshot) if is_imported(snapshot) else f"{snapshot.name}: {side['label']}",
            group=SNAPSHOTS_GROUP,
        )
        for snapshot in snapshots
        for place, side in enumerate(snapshot.about.get("sides", ()))
    ]
    return [*alone, *_with_variants(bases), *kept]


def list_usable(workspace: Workspace, collection_id: int) -> list[Ranker]:
    """Return what may be put in use: what the judging desk is offered, but for runs of other embedders than today's.

    Where the strong model has read every document anyway, it may order the top of them anew.
    """
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
    opened = workspace.opened(collection_id)
    return _usable(_fitting(runs, opened), opened)


def rankers_of(runs: Iterable[TrainingRunRecord]) -> list[Ranker]:
    """Return what the judging desk offers where these training runs are: `list_rankers` without reading anything."""
    return _with_variants(_bases(finished(runs)))


def _usable(runs: Iterable[TrainingRunRecord], opened: OpenCollection | None) -> list[Ranker]:
    offered = _with_variants(_bases(runs))
    if opened is None or not opened.has_read_all:
        return offered
    reread = [
        replace(each, key=each.key.with_rereading(), label=each.label + REREAD_LABEL, group=VARIANTS_GROUP)
        for each in offered
        if each.key.has_words and each.key.can_be_reread and not each.group
    ]
    return [*offered, *reread]


@dataclass(frozen=True, slots=True)
class _Base:
    """What ranks before matching words count; `run` as in `Ranker`."""

    key: RankingKey
    label: str
    run: str = ""


def _bases(runs: Iterable[TrainingRunRecord]) -> list[_Base]:
    trained = [_Base(run_key(run), run_label(run), _run_name(run)) for run in runs]
    return [_Base(LIGHT, "light model"), _Base(ALIGNED, "aligned, no labels"), *trained]


def _with_variants(bases: Iterable[_Base]) -> list[Ranker]:
    usual, variants = [], []
    for base in bases:
        for has_words in (True, False):
            key = base.key.with_words() if has_words else base.key
            ranker = Ranker(key, ranking_label(key, base.label), base.run)
            if has_words == (base.key not in _ALONE):
                usual.append(ranker)
            else:
                variants.append(replace(ranker, group=VARIANTS_GROUP))
    return [*usual, *variants]


def ranking_label(key: RankingKey, name: str) -> str:
    """Return what a person calls a ranking, of which `name` is the base.

    That matching words count is said only where they usually do not, that they do not only where they usually do.
    """
    if key.base in _ALONE:
        label = f"{name} + matching words" if key.has_words else f"{name} alone"
    else:
        label = name if key.has_words else f"{name}, vectors alone"
    return label + (REREAD_LABEL if key.is_reread else "")


def finished(runs: Iterable[TrainingRunRecord]) -> list[TrainingRunRecord]:
    """Return the training runs that are finished."""
    return [run for run in runs if run.state is JobState.FINISHED]


def _fitting(runs: Iterable[TrainingRunRecord], opened: OpenCollection | None) -> list[TrainingRunRecord]:
    """Return the finished training runs that were made with the embedders of today, in the order given."""
    return [run for run in finished(runs) if _is_fitting(run, opened)]


def newest_run(workspace: Workspace, label_set: LabelSetRecord, runs: Iterable[TrainingRunRecord]) -> list[RankingKey]:
    """Return the key of the newest usable training run of a label set; nothing if there is none. Newest run first."""
    usable = _fitting(runs, workspace.opened(label_set.collection_id))
    return [run_key(run) for run in usable if run.label_set_id == label_set.id][:1]


def is_imported(snapshot: SnapshotRecord) -> bool:
    """Return whether this is no comparison of this app, but a run file that was brought in."""
    return bool(snapshot.about.get("is_imported"))


def imported_label(snapshot: SnapshotRecord) -> str:
    """Return what a person calls the ranking of a run file that was brought in."""
    return f"{snapshot.name} (brought in)"


def labels_of(rankers: Iterable[Ranker], keys: Iterable[RankingKey]) -> dict[str, str]:
    """Return what a person calls each ranking, by key; what is not among `rankers` is not there any more."""
    labels: dict[str, str] = {ranker.key: ranker.label for ranker in rankers}
    named = {}
    for key in keys:
        first = key.without_rereading()
        named[str(key)] = labels.get(first, missing_label(first)) + (REREAD_LABEL if key.is_reread else "")
    return named


def missing_label(key: RankingKey) -> str:
    """Return what a person calls a ranking that is not there any more; what it was called is gone with it."""
    if key.stored_side is not None:
        return "a kept ranking"
    return f"“{key}”" if key.run_id is None else "a training run"


def run_key(run: TrainingRunRecord) -> RankingKey:
    """Return the ranking of a training run, matching words not counted."""
    return RankingKey.of_run(run.id)


def run_label(run: TrainingRunRecord) -> str:
    """Return what a person calls the ranker of a training run."""
    return f"after your marks (run {_run_name(run)})"


def _run_name(run: TrainingRunRecord) -> str:
    return f"{run.number}" if run.recipe == "era" else f"{run.number}, {run.recipe} recipe"


def measured_key(run: TrainingRunRecord, ranking: str) -> RankingKey:
    """Return one of the rankings that a training run measured, in which `AFTER` stands for the run itself."""
    key = RankingKey(ranking)
    return key.with_base(run_key(run)) if key.base == AFTER else key


def chosen_key(run: TrainingRunRecord) -> RankingKey | None:
    """Return the ranking that a finished training run found best; None if it was trained for comparison only.

    Runs from before several rankings were measured name themselves.
    """
    measures = run.measures or {}
    if "choice" not in measures:
        return run_key(run)
    choice = measures["choice"]
    return measured_key(run, choice["ranking"]) if choice else None


def default_ranker(workspace: Workspace, collection_id: int, label_set_id: int) -> RankingKey:
    """Return what is in use, as long as that is there and was made with the embedders of today.

    Else what the newest training run of the label set found best, else aligned, else the light model. A training run
    whose adapter is damaged is not used; see `damaged_run`.
    """
    return ranker_in_use(workspace, *_stored(workspace, collection_id, label_set_id))


def ranker_in_use(workspace: Workspace, label_set: LabelSetRecord, runs: Sequence[TrainingRunRecord]) -> RankingKey:
    """Return `default_ranker` of a label set that was read with the training runs of its collection, newest first."""
    opened = workspace.opened(label_set.collection_id)
    key, run = _wanted(opened, label_set, runs)
    if key and (run is None or _is_sound(workspace, opened, run)):
        return key
    if opened is None or not opened.is_aligned:
        return LIGHT
    aligned = ALIGNED.with_words()
    return aligned.with_rereading() if opened.has_read_all else aligned


def damaged_run(workspace: Workspace, collection_id: int, label_set_id: int) -> TrainingRunRecord | None:
    """Return the training run that would be used if its saved adapter were not damaged; None if all is well."""
    opened = workspace.opened(collection_id)
    _, run = _wanted(opened, *_stored(workspace, collection_id, label_set_id))
    return None if run is None or _is_sound(workspace, opened, run) else run


def damaged_runs(workspace: Workspace, collection_id: int) -> set[int]:
    """Return the ids of the training runs whose saved adapter was found damaged so far."""
    opened = workspace.opened(collection_id)
    named = [] if opened is None else [RankingKey(name).run_id for name in opened.damaged]
    return {run_id for run_id in named if run_id is not None}


def _stored(
    workspace: Workspace, collection_id: int, label_set_id: int
) -> tuple[LabelSetRecord, Sequence[TrainingRunRecord]]:
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
        return storage.label_sets.get(session, label_set_id), runs


def _wanted(
    opened: OpenCollection | None, label_set: LabelSetRecord, runs: Sequence[TrainingRunRecord]
) -> tuple[RankingKey, TrainingRunRecord | None]:
    """Return the key of the ranker to use, whether or not it can be read, and the training run that it is of.

    Without a choice and without a finished training run the key is empty.
    """
    usable = _fitting(runs, opened)
    key = _without_reading(RankingKey(label_set.in_use), opened)
    if key not in (ranker.key for ranker in _usable(usable, opened)):
        found = (chosen_key(run) for run in usable if run.label_set_id == label_set.id)
        key = _without_reading(next(filter(None, found), RankingKey()), opened)
    return key, next((run for run in usable if run.id == key.run_id), None)


def _without_reading(key: RankingKey, opened: OpenCollection | None) -> RankingKey:
    """Return the key of a ranking that needs nothing to be read first, as after documents were added."""
    return key if opened is not None and opened.has_read_all else key.without_rereading()


def _is_sound(workspace: Workspace, opened: OpenCollection | None, run: TrainingRunRecord) -> bool:
    """Return whether the adapter of a training run can be read; not known before the collection is open."""
    return opened is None or opened.is_sound(workspace.adapter_folder(run.id))


def _is_fitting(run: TrainingRunRecord, opened: OpenCollection | None) -> bool:
    """Return whether a training run was made with the embedders that the collection has now."""
    if opened is None:
        return True
    now = {"strong_embedder": opened.pair.strong.identity, "light_embedder": opened.pair.light.identity}
    return all(run.config.get(name, asdict(identity)) == asdict(identity) for name, identity in now.items())


def retriever(workspace: Workspace, opened: OpenCollection, key: RankingKey) -> tuple[Retriever, Mapping[str, HeldOut]]:
    """Return the retriever of a ranker key, and by query id what ranks those that it learned from (empty if none).

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if it is the strong model alone, and that has not read every document.
    """
    if key.is_reread and not key.can_be_reread:
        raise NotFoundError(f"There is no ranking named {key[:40]!r}. Choose one from the list.")
    held_out: Mapping[str, HeldOut] = {}
    if key.base == LIGHT:
        chosen: Retriever = opened.light()
    elif key.base == ALIGNED:
        chosen = opened.aligned()
    elif key.base == STRONG:
        chosen = opened.strong()
    elif key == BM25:
        chosen = opened.words_alone()
    else:
        chosen, held_out = opened.trained(_adapter_folder(workspace, key))
    if key.has_words:
        chosen = opened.with_words(chosen)
    return (opened.reread(chosen) if key.is_reread else chosen), held_out


def expectation(workspace: Workspace, opened: OpenCollection, key: RankingKey) -> Expectation | None:
    """Return what a training run did for queries that were held out; None for other rankers or if nothing is known."""
    if key.run_id is None or key.is_reread:
        return None
    folder = _adapter_folder(workspace, key)
    adapter = opened.trained(folder)[0].adapter
    if key.has_words != adapter.provenance.get("config", {}).get("has_words", False):
        return None  # it was not measured so
    certainty = opened.certainty(folder)
    return certainty.expect() if certainty is not None else None


def _adapter_folder(workspace: Workspace, key: RankingKey) -> Path:
    if key.run_id is None:
        raise NotFoundError(f"There is no ranking named {key[:40]!r}. Choose one from the list.")
    return find_training_run(workspace, key.run_id)


_AT_ONCE = 16
_STEP_S = 2.0  # after which a page is told how far reading is, and asks for more


@dataclass(frozen=True, slots=True)
class Unread:
    """What the strong model has not read yet of what a ranking needs.

    Attributes:
        doc_ids: the documents, those of the first query first.
        n_first: how many of them the first query needs.
        seconds: that reading them takes about; None if that is not known, or an endpoint reads.
        costs: what an endpoint is sent; None if none reads.
    """

    doc_ids: Sequence[str]
    n_first: int
    seconds: float | None
    costs: EndpointCosts | None


NOTHING_UNREAD = Unread((), 0, None, None)


def unread_of_query(workspace: Workspace, query: QueryRecord, key: RankingKey) -> Unread:
    """Return what is unread on top of one ranking of a query, as the judging desk shows it.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    opened = workspace.open(query.collection_id)
    if opened.has_read_all:
        return NOTHING_UNREAD
    first, _ = retriever(workspace, opened, key.without_rereading())
    ranking = first.search(Query(str(query.id), query.text, query.instruction), N_REREAD)
    return unread_in(workspace, query.collection_id, opened, [ranking])


def ready_key(workspace: Workspace, query: QueryRecord, key: RankingKey) -> RankingKey:
    """Return the key of a ranking, without rereading as long as there is something to read for this query.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    if not key.is_reread or not unread_of_query(workspace, query, key).doc_ids:
        return key
    return key.without_rereading()


def read_some(workspace: Workspace, author: str | None, collection_id: int, unread: Unread) -> None:
    """Read the first documents for about two seconds; for the others it is called again.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotReadyError: if the embedders are still being loaded, or what is read cannot be kept.
    """
    if author is None:
        raise NotAllowedError("Sign in to let the strong model read documents.")
    opened, started = workspace.open(collection_id), time.monotonic()
    for start in range(0, len(unread.doc_ids), _AT_ONCE):
        _read(opened, unread.doc_ids[start : start + _AT_ONCE])
        if time.monotonic() - started >= _STEP_S:
            return


def read_top(workspace: Workspace, collection_id: int, moved: Retriever, query: Query, vector: Vectors) -> None:
    """Read what a moved query (m,) brings to the top of a ranking that is reread; an endpoint is sent nothing.

    Raises:
        NotReadyError: if what is read cannot be kept.
    """
    if not isinstance(moved, RerankingRetriever) or _is_endpoint(workspace, collection_id):
        return
    opened = workspace.open(collection_id)
    first = moved.rank_before_reading([query], vector[None], N_REREAD)
    _read(opened, unread_in(workspace, collection_id, opened, first).doc_ids)


def unread_in(workspace: Workspace, collection_id: int, opened: OpenCollection, rankings: Iterable[Ranking]) -> Unread:
    """Return what is unread in rankings, one for each query."""
    per_query = [list(dict.fromkeys(doc.doc_id for doc in ranking)) for ranking in rankings]
    needed = list(dict.fromkeys(doc_id for doc_ids in per_query for doc_id in doc_ids))
    is_known, _ = opened.strong_documents(needed)
    doc_ids = [doc_id for doc_id, is_read in zip(needed, is_known, strict=True) if not is_read]
    n_first = len(set(doc_ids) & set(per_query[0])) if per_query else 0
    if _is_endpoint(workspace, collection_id):
        reader = workspace.spec_of(collection_id).strong, len(doc_ids)
        return Unread(doc_ids, n_first, None, endpoint_costs([reader], opened.corpus.contents(doc_ids)))
    each = _seconds_each(opened)
    return Unread(doc_ids, n_first, None if each is None else each * len(doc_ids), None)


def _read(opened: OpenCollection, doc_ids: Sequence[str]) -> None:
    opened.pair.strong.encode_documents(opened.corpus.contents(doc_ids))
    if not opened.strong_documents(doc_ids)[0].all():
        raise NotReadyError(
            "What the strong model reads cannot be kept, so it cannot order documents anew. Make room on the disk "
            "that the app keeps its data on, then try again."
        )


def _is_endpoint(workspace: Workspace, collection_id: int) -> bool:
    return workspace.spec_of(collection_id).strong.kind == "openai"


def _seconds_each(opened: OpenCollection) -> float | None:
    strong = opened.pair.strong
    measured = strong.seconds_per_text if isinstance(strong, SentenceTransformerEmbedder) else None
    return measured or opened.strong_reading.seconds_per_text
