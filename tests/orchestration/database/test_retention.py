"""After old turns were removed, a church is read on as if they were there: deltas, deletions and what is written."""

from flows.remove_old import remove_old
from tests.church import Church

SUFFIXES = "people.NameSuffix"


def test_a_church_whose_old_turns_are_gone_writes_nothing_anew_and_finds_what_was_deleted(church: Church) -> None:
    for _ in range(4):
        church.sync(SUFFIXES)
    old = "run_id <= (SELECT max(run_id) FROM sync.runs)"
    church.sql(
        "UPDATE sync.runs SET started_at = started_at - interval '100 days', "
        f"completed_at = completed_at - interval '100 days' WHERE {old}"
    )
    assert remove_old().turns is None, "`make migrate` has not filled its columns yet"
    church.sql("INSERT INTO sync.backfills VALUES ('ancestors', 1, now())")
    assert remove_old().turns == 2
    assert church.sql("SELECT count(*) FROM sync.runs") == [(2,)]
    assert church.sql("SELECT count(DISTINCT run_id) FROM sync.pages") == [(2,)]
    again = church.sync(SUFFIXES)
    assert (again.new, again.changed, again.deleted) == (0, 0, 0)
    assert again.rows == church.sql("SELECT count(*) FROM people.name_suffix")[0][0]
    church.sql("UPDATE people.name_suffix SET id = 'gone', _synced_at = _synced_at - interval '1 day' "
               "WHERE id = (SELECT min(id) FROM people.name_suffix)")  # fmt: skip
    assert remove_old().turns == 1, "there are two newer ones"
    found = church.sync(SUFFIXES, many_deletions="accept")
    assert (found.new, found.deleted) == (1, 1)
