"""Recorded answers are served again: lists re-paged, records verbatim, the rest as it was."""

import json

import pytest

from pco_simulator.answering.replay import Recording, read_captures
from pco_simulator.contents.world import World
from pco_simulator.settings import Settings
from pco_simulator.simulator import Simulator
from tests.unit.pco_simulator.asking import PEOPLE, RECORDINGS, Clock, all_ids, ask, ids, page, simulator


def recorded_people() -> list[dict[str, object]]:
    captures = json.loads((RECORDINGS / "people.json").read_text("utf-8"))
    return [record for capture in captures for record in capture["body"]["data"]]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_of_any_size_hold_the_recorded_records_verbatim(size: int) -> None:
    one = simulator(recording="people.json")
    found: list[object] = []
    offset: int | None = 0
    while offset is not None:
        document = page(one, query=f"per_page={size}&offset={offset}")
        found += document["data"]
        offset = document["meta"].get("next", {}).get("offset")
    assert found == recorded_people()
    assert one.state("people.Person") == recorded_people()


def test_a_recorded_list_can_be_filtered_ordered_and_read_record_by_record() -> None:
    one = simulator(recording="people.json")
    first = recorded_people()[0]
    assert page(one, f"{PEOPLE}/{first['id']}")["data"] == first
    assert ids(page(one, query="where[first_name]=alder")) == [first["id"]]
    assert all_ids(one, query="order=-first_name") == list(reversed(all_ids(one)))
    assert ask(one, f"{PEOPLE}/1").answer.status == 404
    assert ask(one, "/people/v2/emails").answer.status == 404


def test_a_list_that_the_catalogue_does_not_know_is_served_too() -> None:
    document = page(simulator(recording="report_templates.json"), "/services/v2/report_templates")
    assert [one["type"] for one in document["data"]] == ["ReportTemplate"] * document["meta"]["total_count"]
    assert "relationships" not in document["data"][0]


def test_what_is_no_plain_list_is_served_to_the_same_query_only() -> None:
    capture = json.loads((RECORDINGS / "people_filtered.json").read_text("utf-8"))[0]
    path, _, query = capture["url"].removeprefix("https://api.planningcenteronline.com").partition("?")
    one = simulator(recording="people_filtered.json")
    assert page(one, path, query) == capture["body"]
    assert ask(one, path).answer.status == 404


def test_a_204_and_a_gateways_404_are_served_as_they_were() -> None:
    assert ask(simulator(recording="list_run_204.json"), "/people/v2/lists/900007/run").answer.status == 204
    reply = ask(simulator(recording="gateway_404.json"), "/bogus")
    assert (reply.answer.status, reply.answer.origin) == (404, "gateway")


def test_values_that_json_libraries_stumble_over_stay_what_they_were() -> None:
    text = (
        '[{"url": "https://api.planningcenteronline.com/people/v2/people?offset=0", "status": 200, "headers": {},'
        ' "body": {"data": [{"type": "Person", "id": "1", "attributes": {"a": "\\ud800", "b": "\\u0000",'
        f' "c": {"9" * 40}}}}}]}}}}]'
    )
    one = Simulator(
        World(seed=1, people=0, groups=0),
        Settings(credentials={"app": "secret"}),
        recording=Recording(read_captures(text)),
        clock=Clock(),
    )
    assert page(one)["data"][0]["attributes"] == {"a": "\ud800", "b": "\x00", "c": int("9" * 40)}


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"url": "x"}]', "half a"])
def test_a_file_that_is_no_recording_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a recording is|Expecting"):
        read_captures(text)
