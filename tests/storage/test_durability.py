import subprocess
import sys
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

import storage
from storage import judgments
from storage.engine import close, open_database, session_factory
from storage.records import LabelSetRecord, QueryRecord

JUDGE_WITHOUT_END = """
import itertools, sys
from pathlib import Path
from storage import judgments, queries
from storage.engine import open_database, session_factory
from storage.records import NewJudgment

sessions = session_factory(open_database(Path(sys.argv[1])))
label_set_id, query_id, instruction_id = map(int, sys.argv[2:])
for sequence in itertools.count(1):
    with sessions.begin() as session:
        appended = judgments.append(session, NewJudgment(
            label_set_id=label_set_id, query_id=query_id, instruction_id=instruction_id, doc_id=f"d{sequence % 7}",
            content_hash="b" * 64, author="ann", grade=float(sequence % 3), client_id="child", sequence=sequence))
    print(appended.judgment.id, appended.judgment.doc_id, appended.judgment.grade, flush=True)
"""
N_ACKNOWLEDGED = 100


def test_every_acknowledged_judgment_survives_a_kill(
    engine: Engine,
    sessions: sessionmaker[Session],
    database_path: Path,
    query: QueryRecord,
    label_set: LabelSetRecord,
) -> None:
    close(engine)
    ids = [str(number) for number in (label_set.id, query.id, query.instruction_id)]
    child = subprocess.Popen(
        [sys.executable, "-c", JUDGE_WITHOUT_END, str(database_path), *ids],
        cwd=Path(storage.__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        acknowledged = [child.stdout.readline() for _ in range(N_ACKNOWLEDGED)]
    finally:
        child.kill()
    acknowledged += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    expected = [tuple(line.split()) for line in acknowledged if line.endswith("\n")]
    assert len(expected) >= N_ACKNOWLEDGED

    reopened = open_database(database_path)
    with reopened.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    with session_factory(reopened).begin() as session:
        events = judgments.history(session, label_set.id, query.id)
    close(reopened)
    stored = [(str(event.id), event.doc_id, str(event.grade)) for event in events]
    assert stored[: len(expected)] == expected
    assert len(stored) - len(expected) <= 1  # one may be committed and not yet acknowledged
