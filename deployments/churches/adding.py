"""`churches add`: many churches from a file. Every row is checked before the first is stored; no secret is shown."""

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from deployments.churches.known import known_churches
from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.operations.connect import (
    WrongOrganizationError,
    address_of,
    check_same_church,
    check_token,
    store_token,
)
from deployments.parameters import WrongArgumentError
from deployments.prefect_trouble import check_prefect
from deployments.provisioning.provision import find_block
from deployments.terminal import print_plain
from deployments.transaction import transaction
from flows.parameters import check_org_id
from pco_client.auth import PersonalAccessToken
from pco_client.errors import PcoError
from pco_store.churches.names import NO_DISPLAY_NAME, is_display_name, rename_church
from tasks.connections.revoking import in_words
from tasks.logs import sync_logger
from tasks.reports.counted import counted

NEEDED: Final = ("org_id", "application_id", "secret")
FURTHER: Final = ("display_name", "base_url", "paused")
YES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
AT_ONCE: Final = 8


class WrongChurchesError(WrongArgumentError):
    """Rows are wrong, and nothing was stored; the message has all that is wrong, a line each, without any secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewChurch:
    """A church that is read by a Personal Access Token. `display_name`: what people call it, if not by Planning
    Center's name. `is_paused`: no schedule syncs it; else that stays as it was, and a new one is synced.
    """

    org_id: str
    application_id: str = field(repr=False)
    secret: str = field(repr=False)
    display_name: str | None = None
    base_url: str | None = None
    is_paused: bool = False


async def add_churches(churches: Sequence[NewChurch]) -> dict[str, str]:
    """Check all of them, with Planning Center too, then connect them; the organizations' names by org_id.

    Safe to repeat: a church that is connected by the same token is connected again. Raises `WrongChurchesError` before
    anything is stored, and the errors of Prefect and the store.
    """
    troubles = [*_doubles(churches), *_unusable(churches)]
    if troubles:
        raise WrongChurchesError("\n".join(troubles))
    known = {one.org_id: one for one in await known_churches()}
    room = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(_checked(one, room, known.get(one.org_id)) for one in churches))
    troubles = [one for one in found if isinstance(one, str)]
    organizations: dict[str, str] = {}
    for church, told in zip(churches, found, strict=True):
        if isinstance(told, tuple) and (other := organizations.setdefault(told[1], church.org_id)) != church.org_id:
            troubles.append(f"{church.org_id}: its token reads the same church as that of {other} ({told[0]})")
    if troubles:
        raise WrongChurchesError("\n".join(troubles))
    names = {}
    for church, told in zip(churches, found, strict=True):
        assert isinstance(told, tuple), "else it was refused"
        address = address_of(church.org_id, church.base_url)
        scheduled = False if church.is_paused else None
        told_of = await store_token(church.org_id, church.application_id, church.secret, address, scheduled=scheduled)
        if told_of:
            sync_logger().warning("%s: %s", church.org_id, in_words(told_of))
        names[church.org_id] = church.display_name or told[0]
        async with transaction() as connection:
            await rename_church(connection, church.org_id, names[church.org_id])
    return names


def read_file(file: Path) -> list[NewChurch]:
    """What a CSV file with a header, or a JSON list of objects, says. Raises `WrongChurchesError`, `OSError`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise WrongChurchesError(f"{file.name} is not UTF-8") from None
    rows = _rows_of_json(file, text) if text.lstrip().startswith(("[", "{")) else _rows_of_csv(text)
    if not rows:
        raise WrongChurchesError(f"{file.name} has no rows")
    troubles, churches = [], []
    for number, row in enumerate(rows, start=1):
        wrong = _wrong(row)
        troubles += [f"row {number}: {one}" for one in wrong]
        if not wrong:
            churches.append(_church(row))
    if troubles:
        raise WrongChurchesError("\n".join(troubles))
    return churches


async def add_from_file(file: Path, console: Console, *, as_json: bool) -> int:
    """Connect what the file says; the exit code. Raises as `read_file`, `add_churches` and `check_prefect` do."""
    churches = read_file(file)
    check_prefect()
    names = await add_churches(churches)
    if as_json:
        print_document({"churches": names, "exit_code": DONE})
        return DONE
    for org_id, name in names.items():
        print_plain(console, f"{org_id}: {name}")
    done = f"connected: {len(names):,}; {file.name} holds their secrets: delete it"
    print_plain(console, done)
    return DONE


def _rows_of_json(file: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise WrongChurchesError(f"{file.name} is not JSON: line {error.lineno}, column {error.colno}") from None
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise WrongChurchesError(f"{file.name} is JSON, and not a list of objects")
    return rows


def _rows_of_csv(text: str) -> list[Mapping[str, Any]]:
    """An open quote is refused: all that follows, the secrets of others too, would be one value of its row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        return [{(name or "").strip(): value for name, value in row.items()} for row in reader]
    except csv.Error as error:
        raise WrongChurchesError(f"this is not CSV ({error}): is a quote left open?") from None


def _wrong(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a row by itself; the values of secrets are not repeated, nor names that may be one."""
    unknown = [name for name in row if name not in (*NEEDED, *FURTHER)]
    if unknown:
        return [f"{counted(len(unknown), 'column')} nobody knows; known: {', '.join((*NEEDED, *FURTHER))}"]
    wrong = [f"{name} is missing" for name in NEEDED if not _text(row, name)]
    if _text(row, "org_id"):
        try:
            check_org_id(_text(row, "org_id"))
        except ValueError as error:
            wrong.append(str(error))
    if _text(row, "paused").lower() not in YES:
        wrong.append("paused is true or false")
    if (name := _text(row, "display_name")) and not is_display_name(" ".join(name.split())):
        wrong.append(NO_DISPLAY_NAME)
    return wrong


def _church(row: Mapping[str, Any]) -> NewChurch:
    return NewChurch(
        org_id=_text(row, "org_id"),
        application_id=_text(row, "application_id"),
        secret=_text(row, "secret"),
        display_name=" ".join(_text(row, "display_name").split()) or None,
        base_url=_text(row, "base_url") or None,
        is_paused=YES[_text(row, "paused").lower()],
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _doubles(churches: Sequence[NewChurch]) -> list[str]:
    troubles = []
    for name, what in (("org_id", "org_id"), ("application_id", "token")):
        seen: dict[str, str] = {}
        for one in churches:
            other = seen.setdefault(getattr(one, name), one.org_id)
            if other is not one.org_id:
                troubles.append(f"{one.org_id}: the same {what} stands there twice, first for {other}")
    return troubles


def _unusable(churches: Sequence[NewChurch]) -> list[str]:
    troubles = []
    for one in churches:
        try:
            check_org_id(one.org_id)
            address_of(one.org_id, one.base_url)
            if one.display_name is not None and not is_display_name(one.display_name):
                raise WrongArgumentError(NO_DISPLAY_NAME)
        except (ValueError, WrongArgumentError) as error:
            troubles.append(f"{one.org_id}: {error}")
    return troubles


async def _checked(church: NewChurch, room: asyncio.Semaphore, known: Any) -> tuple[str, str] | str:
    """The organization's name and id, or what is wrong."""
    if known is not None and known.is_being_removed:
        return f"{church.org_id}: {known.trouble[0]}"
    async with room:
        block = await find_block(church.org_id)
        if block is not None and (block.oauth or block.application_id.get_secret_value() != church.application_id):
            return f"{church.org_id}: it is connected already, by another token or by OAuth"
        address = address_of(church.org_id, church.base_url)
        try:
            name, organization_id = await check_token(church.application_id, church.secret, address)
            token = PersonalAccessToken(church.application_id, church.secret)
            await check_same_church(church.org_id, organization_id, token, address)
        except (PcoError, WrongArgumentError, WrongOrganizationError) as error:
            return f"{church.org_id}: {error}"
        return name, organization_id
