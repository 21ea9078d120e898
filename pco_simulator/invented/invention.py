"""Invented values of one attribute: computed when they are asked for, so that 200,000 people cost no memory."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pco_catalog.catalog import Attribute
from pco_simulator.invented.chance import roller
from pco_simulator.invented.vocabulary import CHOICES, CITIES, FIRST_NAMES, LAST_NAMES, SENTENCES, STREETS

Maker = Callable[[int], Any]
"""From the number of a record, counted from 0, to a value."""


class Counts(dict[str, int]):
    """How many records every entity has, in a church where it is `now`, in seconds after the oldest time.

    None: in a church whose calendar ended with 2024.
    """

    now: int | None = None


Others = Callable[[str, str], Maker]
"""`others(entity, attribute)`: what makes the values of another attribute, of this entity or of another one."""
Stories = dict[tuple[str, str], Callable[[Others, Counts], Maker]]
"""What makes the values of attributes that agree with others, by entity and attribute."""
Targets = dict[tuple[str, str], Callable[[Counts], Callable[[int], int]]]
"""To the record of which number a relationship leads, by entity and relationship."""

_OLDEST: Final = datetime(2012, 1, 1)  # noqa: DTZ001 - formatting an aware time costs three times as much
WEEK_SECONDS: Final = 7 * 86_400
_SPAN: Final = int((datetime(2024, 12, 31) - _OLDEST).total_seconds())  # noqa: DTZ001 - see above
_BULK_EDIT: Final = "2024-06-15T03:00:00Z"
"""Every eighth record was last changed in this one second: pages ordered by time must cope with that."""
_UNSET: Final = ("archived_at", "deleted_at", "canceled_at", "inactivated_at", "expires_at", "discarded_at")
"""Null for a record that is alive, whether or not the documents say that they may be."""


_NUMBERS: Final = frozenset(
    {"created_by_id", "note_category_id", "organization_id", "person_id", "connected_to_id", "tab_id"}
    | {"application_id", "person_to_keep_id", "person_to_remove_id"}
)
"""Attributes that hold an id as a number, while ids are text everywhere else (#1043)."""


def identifier_as(name: str, identifier: str | None) -> str | int | None:
    """An id as an attribute of this name holds it."""
    return int(identifier) if identifier is not None and name in _NUMBERS else identifier


def time_text(moment: datetime) -> str:
    """As PCO writes times: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_text(seconds: int) -> str:
    """The time so many seconds after the oldest one."""
    return (_OLDEST + timedelta(seconds=seconds)).isoformat() + "Z"


def seconds_of(moment: str) -> int:
    """How long after the oldest time a time is, written in UTC and without the Z."""
    return int((datetime.fromisoformat(moment) - _OLDEST).total_seconds())


def whole_weeks(counts: Counts, last: int, *, ahead: int = 0) -> int:
    """By how many seconds a weekly calendar moves, so that what was `last` is the last before so long after now."""
    return 0 if counts.now is None else (counts.now + ahead - last) // WEEK_SECONDS * WEEK_SECONDS


def maker_of(topic: tuple[object, ...], count: int, name: str, attribute: Attribute) -> Maker:
    """What makes the values of an attribute of `count` records; null now and then where PCO may answer null."""
    roll = roller(*topic, name)
    if name == "created_at":
        return lambda number: seconds_text(_created(number, count))
    if name == "updated_at":
        return _updated(roll, count)
    if name in _UNSET:
        return lambda number: None
    if attribute.values and name not in CHOICES:
        make = choosing(roll, attribute.values)
    else:
        make = _by_name(name, roll) if attribute.type == "string" else _by_type(attribute.type, name, roll)
    if not attribute.nullable:
        return make
    null = roller(*topic, name, "null")
    return lambda number: None if null(number) % 5 == 0 else make(number)


def choosing(roll: Maker, words: tuple[Any, ...]) -> Maker:
    """One of the words."""
    length = len(words)
    return lambda number: words[roll(number) % length]


def _created(number: int, count: int) -> int:
    """Ids grow with time."""
    return _SPAN * number // max(count, 1)


def _updated(roll: Maker, count: int) -> Maker:
    def make(number: int) -> str:
        created, rolled = _created(number, count), roll(number)
        if rolled % 8 == 0:
            return max(_BULK_EDIT, seconds_text(created))
        return seconds_text(created + (_SPAN - created) * (rolled % 1000) // 1000)

    return make


def _by_type(kind: str, name: str, roll: Maker) -> Maker:
    match kind:
        case "boolean":
            return lambda number: roll(number) % 3 == 0
        case "integer":
            return choosing(roll, CHOICES[name]) if name in CHOICES else lambda number: roll(number) % 1000
        case "float":
            return lambda number: roll(number) % 100_000 / 800
        case "date":
            return lambda number: seconds_text(roll(number) % _SPAN)[:10]
        case "date_time":
            return lambda number: seconds_text(roll(number) % _SPAN)
        case "array":
            return lambda number: [f"{_spoken(name)} {roll(number) % 9}"]
        case "hash" | "json" | "object" | "repeatable_schedule":
            return lambda number: {"label": f"{_spoken(name)} {roll(number) % 97}", "level": roll(number) % 7}
        case "currency_abbreviation":
            return lambda number: "USD"
        case "primary_key":
            return lambda number: identifier_as(name, str(1 + roll(number) % 100_000))
    return _by_name(name, roll)


def _by_name(name: str, roll: Maker) -> Maker:
    if name in CHOICES:
        return choosing(roll, CHOICES[name])
    if name in {"first_name", "given_name", "nickname", "middle_name"}:
        return choosing(roll, FIRST_NAMES)
    if name == "last_name":
        return choosing(roll, LAST_NAMES)
    if name == "name":
        return lambda number: f"{LAST_NAMES[roll(number) % len(LAST_NAMES)]} {number + 1}"
    if "email" in name or name == "address":
        return lambda number: f"person{number}@example.org"
    if "phone" in name or name in {"number", "e164", "national", "international"}:
        return lambda number: f"+1555{roll(number) % 10_000_000:07d}"
    if name.endswith(("url", "website", "avatar", "image")):
        return lambda number: f"https://example.org/{name}/{roll(number) % 997}.png"
    if name.startswith("street"):
        return lambda number: f"{number + 1} {STREETS[roll(number) % len(STREETS)]}"
    if name == "city":
        return choosing(roll, CITIES)
    if name == "zip":
        return lambda number: f"{roll(number) % 100_000:05d}"
    if "description" in name or name in {"body", "note", "content", "medical_notes"}:
        return choosing(roll, SENTENCES)
    return lambda number: f"{_spoken(name)} {roll(number) % 997}"


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()
