from dataclasses import replace

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import label_sets
from storage.errors import UnknownRecord
from storage.records import LabelSetRecord


def test_ranking_in_use_is_kept_per_label_set(sessions: sessionmaker[Session], label_set: LabelSetRecord) -> None:
    assert label_set.in_use == ""
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, label_set.collection_id, "other", "bob")
        assert label_sets.set_in_use(session, label_set.id, "run-7") == replace(label_set, in_use="run-7")
    with sessions.begin() as session:
        assert label_sets.get(session, label_set.id).in_use == "run-7"
        assert label_sets.list_names(session, label_set.collection_id) == [replace(label_set, in_use="run-7"), other]
    with sessions.begin() as session:
        assert label_sets.set_in_use(session, label_set.id, "") == label_set


def test_ranking_in_use_of_an_unknown_label_set_is_refused(
    sessions: sessionmaker[Session], label_set: LabelSetRecord
) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no label set with the id 4"):
        label_sets.set_in_use(session, 4, "run-7")
