"""Which request was the last one for what is wanted first."""

from datetime import UTC, datetime

from benchmarks.wanted_first import last_of_the_first, recent_events

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def log(*paths: str) -> list[dict[str, object]]:
    return [{"path": path, "offset": 0} for path in paths]


def test_only_events_of_the_last_four_weeks_are_recent() -> None:
    events = [
        {"id": number, "attributes": {"starts_at": at}}
        for number, at in enumerate(("2026-10-31T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-30T00:00:00Z"))
    ]
    assert recent_events(events, NOW) == {"1"}


def test_the_last_page_of_what_is_wanted_counts_and_nothing_else_nor_a_second_request_for_it() -> None:
    requests = log(
        "/groups/v2/groups",
        "/groups/v2/groups/7/memberships",
        "/people/v2/people",
        "/groups/v2/events/1/attendances",
        "/groups/v2/events/2/attendances",
        "/giving/v2/donations/5/designations",
        "/groups/v2/groups",
    )
    assert last_of_the_first(requests, {"1"}) == 4
    assert last_of_the_first(requests, {"1", "2"}) == 5
