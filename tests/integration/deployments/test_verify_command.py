"""`verify` compares what was read completely, names what it leaves out, and never calls nothing a success."""

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text

from deployments.app import main
from deployments.exit_codes import USAGE
from deployments.foreseen import foreseen
from deployments.operations.churches import UnknownChurchError
from deployments.operations.verify import (
    NEVER_COMPLETE,
    NOT_COUNTED,
    NOT_IN_CATALOGUE,
    NothingToCompareError,
    Verification,
    choose,
    show,
    verify,
)
from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from tasks.verification.proof import Proof


def proof(
    verdict: str, entity: str = "people.Person", message: str = "20 of 20 records have the same content"
) -> Proof:
    return Proof(
        org_id="grace",
        entity=entity,
        method="full",
        verdict=verdict,
        message=message,
        requests=3,
        seconds=0.2,
        proof_id=1,
    )


def verification(*proofs: Proof, **not_compared: tuple[str, ...]) -> Verification:
    return Verification(org_id="grace", method="full", proofs=proofs, not_compared=not_compared)


async def complete(store: Database, *entities: str, org_id: str = "grace") -> None:
    for entity in entities:
        async with store.transaction() as connection:
            await connection.execute(
                text("INSERT INTO sync.watermarks VALUES (:org_id, :entity, '', now(), 1)"),
                {"org_id": org_id, "entity": entity},
            )


async def begun(store: Database, entity: str, scope: str = "", state: str = "failed", **columns: Any) -> int:
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", CAST(:{name} AS {'bigint' if name == 'read_with' else 'jsonb'})" for name in columns)
    async with store.transaction() as connection:
        run_id: int = await connection.scalar(
            text(
                "INSERT INTO sync.runs (org_id, entity, scope, epoch, key, state, mode, fence, owner, lease_until, "
                f"page_size{names}) VALUES ('grace', :entity, :scope, 'e', :key, :state, 'full', 1, "
                f"'a test', now(), 100{values}) RETURNING run_id"
            ),
            {"entity": entity, "scope": scope, "key": f"{entity}{scope}", "state": state, **columns},
        )
        return run_id


async def below(store: Database, entity: str, *, settled: bool = True) -> None:
    """A fan-out that has completed."""
    found = json.dumps({"verdict": "confirmed" if settled else "requested"})
    await begun(store, entity, "*", "completed", fan_out=json.dumps({"below": ["x"]}), deletions=found)


async def test_a_church_that_was_never_synced_is_an_error_that_names_the_known_ones(store: Database) -> None:
    with pytest.raises(UnknownChurchError, match="nothing of 'typo' was ever synced here; no church was synced yet"):
        await choose(store, "typo", [], "sample")
    await complete(store, "people.Person")
    with pytest.raises(UnknownChurchError, match="nothing of 'typo' was ever synced here; known churches: grace"):
        await choose(store, "typo", [], "sample")


async def test_a_list_that_was_never_read_completely_is_an_error(store: Database) -> None:
    await complete(store, "people.Person")
    await begun(store, "people.Email")
    with pytest.raises(NothingToCompareError, match=r"never read completely: people.Email; sync it first"):
        await choose(store, "grace", ["people.Person", "people.Email"], "sample")


async def test_a_church_of_which_nothing_can_be_compared_is_an_error(store: Database) -> None:
    await begun(store, "people.Email")
    await begun(store, "groups.Membership", "*")
    with pytest.raises(NothingToCompareError, match=r"nothing to compare; begun: groups.Membership, people.Email"):
        await choose(store, "grace", [], "sample")


async def test_what_is_mirrored_and_cannot_be_compared_is_named_with_the_reason(store: Database) -> None:
    await complete(store, "people.Person", "people.GoneKind")
    await begun(store, "people.Person")
    await begun(store, "people.Email")
    await begun(store, "groups.Membership", "*")
    await below(store, "groups.EventNote", settled=False)
    chosen, left_out = await choose(store, "grace", [], "sample")
    assert chosen == ("people.Person",)
    assert left_out == {
        NEVER_COMPLETE: ("groups.EventNote", "groups.Membership", "people.Email"),
        NOT_IN_CATALOGUE: ("people.GoneKind",),
    }


async def test_what_came_with_a_list_or_was_read_below_owners_is_compared_too(store: Database) -> None:
    await complete(store, "giving.Donation")
    donations = await begun(store, "giving.Donation", state="completed")
    include: dict[str, Any] = {"read_with": donations, "plan": '{"include": "designations"}'}
    await begun(store, "giving.Designation", state="completed", **include)
    await begun(store, "giving.Note", state="failed", read_with=donations, plan='{"include": "note", "dropped": "cut"}')
    await below(store, "groups.Membership")
    chosen, left_out = await choose(store, "grace", [], "sample")
    assert chosen == ("giving.Designation", "giving.Donation", "groups.Membership")
    assert left_out == {NEVER_COMPLETE: ("giving.Note",)}
    assert (await choose(store, "grace", ["groups.Membership"], "full"))[0] == ("groups.Membership",)


async def test_by_count_what_has_no_list_is_left_out(store: Database) -> None:
    await complete(store, "people.Person")
    await below(store, "groups.Membership")
    chosen, left_out = await choose(store, "grace", [], "count")
    assert (chosen, left_out) == (("people.Person",), {NOT_COUNTED: ("groups.Membership",)})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["Grace Church"], "org_id must be"),
        (["grace", "people.Persn"], "did you mean people.Person"),
        (
            ["grace", "groups.Membership", "--method", "count"],
            "groups.Membership cannot be counted: PCO lists it below its owners only",
        ),
        (["grace", "--pages", "1"], "Must be >= 2"),
    ],
)
def test_what_cannot_be_compared_at_all_is_a_usage_error(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str], restored_signals: None
) -> None:
    assert main(["verify", *asked]) == USAGE
    assert told in capsys.readouterr().err


async def test_an_unknown_church_is_refused_with_the_one_that_is_meant(
    store: Database, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", store_url)
    await complete(store, "people.Person")
    with pytest.raises(
        UnknownChurchError, match=r"nothing of 'grase' was ever synced here; did you mean grace\?"
    ) as told:
        await verify("grase", [], "sample", None, Console(file=StringIO()), as_json=False)
    assert foreseen(told.value) == (str(told.value), USAGE)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["Exact", "ExactAsOf", "SampleAgrees", "CountsAgree"], 0),
        (["Exact", "Unknown"], 3),
        (["Exact", "Incomplete"], 3),
        (["Unknown", "Different"], 1),
        (["Exact", "Crashed"], 1),
        ([], 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst_verdict(verdicts: list[str], code: int) -> None:
    assert verification(*map(proof, verdicts)).exit_code == code


def test_a_list_that_was_never_read_completely_leaves_the_answer_open() -> None:
    unread = verification(proof("Exact"), **{NEVER_COMPLETE: ("people.Email",)})
    uncounted = verification(proof("CountsAgree"), **{NOT_COUNTED: ("groups.Membership",)})
    assert (unread.exit_code, uncounted.exit_code) == (3, 0)


def test_the_table_is_readable_at_80_columns() -> None:
    longest = max((one.name for one in load_catalog().entities(top_level_only=True)), key=len)
    message = "Planning Center counts 10000, but 5000 and 9000 in two halves of the list; the mirror counts 10000"
    console = Console(file=StringIO(), width=80)
    show(
        verification(
            proof("SampleAgrees", longest), proof("Unknown", message=message), **{NOT_COUNTED: ("groups.Membership",)}
        ),
        console,
    )
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "…" not in shown
    words = " ".join(shown.replace("│", " ").split())
    assert {longest, "SampleAgrees", "Unknown", "groups.Membership"} <= set(words.split())
    for word in message.split():
        assert word in words


def test_json_holds_the_same_as_the_table() -> None:
    told = json.loads(json.dumps(verification(proof("Exact"), **{NEVER_COMPLETE: ("people.Email",)}).as_json()))
    assert (told["exit_code"], told["proofs"][0]["verdict"], told["proofs"][0]["entity"]) == (
        3,
        "Exact",
        "people.Person",
    )
    assert told["not_compared"] == [{"entity": "people.Email", "why": "never read completely"}]
