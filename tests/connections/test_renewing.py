"""A token pair is renewed in time, once, and its loss is noticed: by the database's clock, in both ways of rotation."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from pco_client.errors import ClientRefused, NeedsAuthorisation, Unauthorized, Unreachable
from pco_client.oauth import OAuthClient
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from pco_store.errors import TokenKeysWrong
from tasks.connections.oauth_credential import OAuthCredential
from tasks.connections.renewing import Patience, WrongClientError
from tests.connections.consenting import KEY, PEOPLE, Connected, connected, until
from tests.plain_http import NOBODY
from tests.simulators import SimulatorProcess


async def read(church: Connected, credential: OAuthCredential) -> int:
    """One page; how many requests it took."""
    fetched = await church.reader(credential).fetch_page(PEOPLE, expected_type="Person")
    assert len(fetched.page.records) == 5
    return fetched.requests


async def test_a_church_is_read_with_the_token_of_its_consent(church: Connected) -> None:
    assert await read(church, church.credential()) == 1
    assert church.requests() == []


async def test_tokens_that_rotate_share_one_budget_and_other_churches_have_another(
    church: Connected, provider: SimulatorProcess, database: Database
) -> None:
    credential = church.credential()
    await credential.open()
    before = credential.identity
    await credential.renew()
    assert (await credential.current()).version == 2
    assert credential.identity == before
    assert (await credential.current()).identity == before
    async with connected(database, provider, org_id="hope", organization="263469") as other:
        theirs = other.credential()
        await theirs.open()
        assert theirs.identity != before
    assert "263468" not in before


@pytest.mark.parametrize(("age", "renewed"), [(5400, []), (7200 * 0.9 + 1, ["granted"])])
async def test_a_token_is_renewed_from_eighty_percent_of_its_life_on(
    church: Connected, age: float, renewed: list[str], rotation: str
) -> None:
    church.simulator.oauth(rotation=rotation)
    credential = church.credential()
    await church.age(age)
    assert await read(church, credential) == 1
    assert church.outcomes() == renewed
    assert (await church.row()).version == 1 + len(renewed)


async def test_a_token_that_is_held_is_renewed_when_its_time_comes(church: Connected) -> None:
    now = [0.0]
    credential = church.credential(now=lambda: now[0], chance=lambda: 0.5)
    await credential.open()
    now[0] = 7200 * 0.84
    assert (await credential.current()).version == 1
    now[0] = 7200 * 0.86
    assert (await credential.current()).version == 2


async def test_many_who_come_at_once_send_one_request(church: Connected, rotation: str) -> None:
    church.simulator.oauth(rotation=rotation)
    processes = [church.credential() for _ in range(4)]
    for one in processes:
        await one.open()
    church.simulator.oauth(expire=church.organization)
    await church.age(7201)
    await asyncio.gather(*(read(church, one) for one in processes for _ in range(5)))
    assert church.outcomes() == ["granted"]
    assert {(await one.current()).version for one in processes} == {2}


async def test_a_token_that_another_process_renewed_is_taken_from_the_row_without_a_request(church: Connected) -> None:
    ours, theirs = church.credential(), church.credential()
    await ours.open()
    await theirs.open()
    await theirs.renew()
    assert await read(church, theirs) == 1
    assert await read(church, ours) == 2, "the old token was revoked by the first use of the new one"
    assert church.outcomes() == ["granted"]


async def test_a_refused_token_that_nobody_has_followed_is_renewed(church: Connected, rotation: str) -> None:
    church.simulator.oauth(rotation=rotation)
    credential = church.credential()
    await credential.open()
    church.simulator.oauth(expire=church.organization)
    await church.age(120)
    assert await read(church, credential) == 2
    assert church.outcomes() == ["granted"]


async def test_a_second_of_401_after_a_refresh_is_waited_out_and_not_answered_by_another_refresh(
    church: Connected,
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    church.simulator.oauth(lag=1, expire=church.organization)
    await church.age(120)
    credential = church.credential(sleep=wait)
    assert await read(church, credential) == 3
    assert church.outcomes() == ["granted"]
    assert waits == [1.0]


async def test_401_that_stay_end_in_an_error_and_not_in_a_loop(church: Connected) -> None:
    church.simulator.oauth(lag=1000)
    credential = church.credential()
    await credential.renew()
    with pytest.raises(Unauthorized):
        await read(church, credential)
    assert len(church.simulator.access_log()) == 3
    assert church.outcomes() == ["granted"]


@pytest.mark.parametrize("manners", [{"without": ["people"]}, {"withheld": ["people"]}])
async def test_a_product_that_is_not_open_costs_one_request_and_no_token(
    database: Database, provider: SimulatorProcess, manners: dict[str, Any]
) -> None:
    async with connected(database, provider, **manners) as church:
        await church.age(120)
        with pytest.raises(Unauthorized):
            await read(church, church.credential())
        assert len(provider.access_log()) == 1
        assert church.outcomes() == []


async def test_a_lost_answer_keeps_the_old_pair_which_is_tried_again(church: Connected) -> None:
    church.simulator.oauth(trouble="lost")
    clock = [0.0]
    credential = church.credential(now=lambda: clock[0])
    await church.age(7200)
    with pytest.raises(Unreachable):
        await read(church, credential)
    assert (await church.row()).version == 1
    clock[0] += 6
    assert await read(church, credential) == 1
    assert church.outcomes() == ["granted", "granted"]
    assert church.dead == []


async def test_where_a_pair_dies_at_once_a_lost_answer_is_said_in_one_attempt_and_once(church: Connected) -> None:
    church.simulator.oauth(rotation="at-once", trouble="lost")
    clock = [0.0]
    credential = church.credential(now=lambda: clock[0])
    await church.age(7200)
    with pytest.raises(Unreachable):
        await read(church, credential)
    clock[0] += 6
    for one in (credential, church.credential(), church.credential()):
        with pytest.raises(NeedsAuthorisation, match="grace has to be connected again"):
            await read(church, one)
    assert church.outcomes() == ["granted", "invalid_grant"]
    assert len(church.dead) == 1
    assert (await church.row()).state == "needs_authorisation"


async def test_a_process_that_ends_before_it_has_said_so_leaves_that_to_the_next_one(church: Connected) -> None:
    def end(*_: str) -> None:
        raise RuntimeError("it ends here")

    church.simulator.oauth(revoke=church.organization)
    await church.age(7200)
    with pytest.raises(RuntimeError, match="it ends here"):
        await read(church, church.credential(on_dead=end))
    assert (await church.row()).state == "active"
    with pytest.raises(NeedsAuthorisation):
        await read(church, church.credential())
    assert len(church.dead) == 1
    assert (await church.row()).state == "needs_authorisation"


async def test_the_pair_before_is_tried_once_if_it_is_young(church: Connected) -> None:
    """The new pair was committed and never used, and is dead all the same: another one was granted beside it."""
    credential = church.credential()
    await credential.renew()
    row = await church.row()
    church.simulator.oauth(trouble="")
    await church.endpoint().revoke(church.keys.open(row.refresh, sealed_with=row.sealed_with))
    await church.age(7200 - 300)
    assert await read(church, church.credential()) == 1
    assert church.outcomes() == ["granted", "invalid_grant", "granted"]
    assert church.dead == []


async def test_the_pair_before_is_not_tried_if_it_is_old(church: Connected) -> None:
    await church.credential().renew()
    church.simulator.oauth(revoke=church.organization)
    await church.age(7200 + 300)
    with pytest.raises(NeedsAuthorisation):
        await read(church, church.credential())
    assert church.outcomes() == ["granted", "invalid_grant"]


async def test_all_tokens_of_an_application_die_and_each_church_says_so_once(
    database: Database, provider: SimulatorProcess
) -> None:
    async with (
        connected(database, provider) as grace,
        connected(database, provider, org_id="hope", organization="263469") as hope,
    ):
        provider.oauth(revoke="")
        for church in (grace, hope):
            await church.age(120)
            for _ in range(3):
                with pytest.raises(NeedsAuthorisation):
                    await read(church, church.credential())
            assert len(church.dead) == 1
            assert church.outcomes() == ["invalid_grant"]


async def test_a_refresh_token_of_more_than_ninety_days_is_dead(church: Connected) -> None:
    church.simulator.oauth(advance=91 * 86400)
    await church.age(91 * 86400)
    with pytest.raises(NeedsAuthorisation, match="does not renew the tokens of"):
        await read(church, church.credential())
    assert church.outcomes() == ["invalid_request"]


async def test_a_database_restored_from_yesterday_says_so(church: Connected) -> None:
    yesterday = await church.row()
    for _ in range(3):
        await church.credential().renew()
        assert await read(church, church.credential()) == 1
    await church.set(
        version="1",
        access_token_enc=f"'{yesterday.access}'",
        refresh_token_enc=f"'{yesterday.refresh}'",
        previous_refresh_enc="NULL",
    )
    await church.age(86400)
    with pytest.raises(NeedsAuthorisation, match="restored from a backup whose tokens were used up since"):
        await read(church, church.credential())


async def test_a_wrong_client_secret_is_said_and_kills_no_connection(church: Connected) -> None:
    church.client = OAuthClient(client_id="demo-client", secret="mistyped")
    await church.age(7200)
    with pytest.raises(ClientRefused, match="does not accept the OAuth client"):
        await read(church, church.credential())
    assert (await church.row()).state == "active"
    church.client = OAuthClient(client_id="demo-client", secret="demo-client-secret")
    assert await read(church, church.credential()) == 1


async def test_another_application_is_noticed_before_it_burns_the_token(church: Connected) -> None:
    church.client = OAuthClient(client_id="demo-public-client", secret="")
    with pytest.raises(WrongClientError, match="consented to the OAuth application demo-client"):
        await church.credential().open()


@pytest.mark.parametrize("trouble", ["503", "lost"])
async def test_a_token_that_lives_is_used_on_while_it_cannot_be_renewed(church: Connected, trouble: str) -> None:
    church.simulator.oauth(trouble=trouble, times=1000)
    await church.age(7200 * 0.95)
    credential = church.credential()
    assert [await read(church, credential) for _ in range(5)] == [1] * 5
    assert len(church.requests()) == 1


async def test_a_silent_token_endpoint_takes_no_connection_of_the_pool_from_other_churches(
    connections_url: str, provider: SimulatorProcess
) -> None:
    """Ten pages of a church wait for tokens, with a pool of one connection."""
    database = Database(connections_url, pool_size=1)
    async with connected(database, provider) as silent, httpx.AsyncClient(verify=NOBODY, trust_env=False) as http:
        await silent.age(7200)
        provider.oauth(trouble="hang", times=1000, church=silent.organization)
        silent.http = http
        waiting = [asyncio.create_task(read(silent, silent.credential(answer_seconds=600))) for _ in range(10)]
        await until(lambda: bool(provider.oauth()["requests"]))
        async with connected_beside(database, provider) as other:
            for _ in range(20):
                assert await read(other, other.credential()) == 1
        assert not any(one.done() for one in waiting)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
    await database.aclose()


def connected_beside(database: Database, provider: SimulatorProcess) -> AbstractAsyncContextManager[Connected]:
    manners: dict[str, Any] = {"trouble": "hang", "times": 1000, "church": "263468"}
    return connected(database, provider, org_id="hope", organization="263469", **manners)


async def test_whoever_waits_too_long_for_the_refresher_uses_what_lives(church: Connected) -> None:
    await church.age(7200 * 0.95)
    church.simulator.oauth(trouble="hang", times=1)
    slow = church.credential(answer_seconds=600)
    holder = asyncio.create_task(read(church, slow))
    await until(lambda: bool(church.requests()))
    other = church.credential(patience=Patience(lock_seconds=0.05))
    assert await read(church, other) == 1
    holder.cancel()
    await asyncio.wait([holder])


async def test_clocks_that_are_wrong_by_an_hour_change_nothing(
    church: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing asks this machine's clock; durations are the database's."""
    for skew in (3600.0, -3600.0):
        with monkeypatch.context() as wrong:
            right = time.time
            wrong.setattr(time, "time", lambda skew=skew, right=right: right() + skew)
            assert await read(church, church.credential()) == 1
    assert church.outcomes() == []


async def test_keys_can_be_rotated_and_a_missing_one_is_named(church: Connected) -> None:
    old, new = church.keys, Fernet.generate_key().decode()
    church.keys = TokenKeys([new])
    with pytest.raises(TokenKeysWrong, match=f"lacks the key {old.newest}"):
        await church.credential().open()
    church.keys = TokenKeys([new, KEY])
    await church.credential().renew()
    church.keys = TokenKeys([new])
    assert await read(church, church.credential()) == 1
    row = await church.row()
    assert row.sealed_with == church.keys.newest
    assert row.previous is not None
    assert church.keys.open(row.previous, sealed_with=row.sealed_with), "the pair before is moved, too"


async def test_no_token_is_stored_or_shown_as_it_is(church: Connected) -> None:
    credential = church.credential()
    await credential.renew()
    row = await church.row()
    shown = repr((credential, await credential.current(), row, church.client, church.keys))
    assert "canary" not in shown
    assert "secret" not in shown
    assert "canary" in church.keys.open(row.refresh, sealed_with=row.sealed_with), "it is what we look for"
