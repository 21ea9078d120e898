"""Invented values: the same for the same seed, entity, id and attribute, computed when asked, so nothing is stored."""

import zlib
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from pco_catalog.catalog import Attribute

FIRST: Final = ("Ada", "Ben", "Chloë", "Dai", "Esi", "Finn", "Gül", "Hana", "Ivo", "Jin", "Kofi", "Lea", "Mika", "Noa")
LAST: Final = ("Example", "Sample", "Testa", "Muster", "Prøve", "Exemple", "Vzor", "Minta", "Пример", "例", "Demo")
CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "gender": ("Female", "Male"),
    "grade": tuple(range(-1, 13)),
    "graduation_year": tuple(range(2027, 2040)),
    "membership": ("Member", "Regular attender", "Visitor"),
    "status": ("active", "active", "active", "active", "inactive"),
    "location": ("Home", "Mobile", "Work"),
    "school_type": ("elementary", "high"),
}
STREETS: Final = ("Sandbox", "Placeholder", "Fixture", "Lorem", "Specimen")
FIRST_CREATED: Final = datetime(2012, 1, 1, tzinfo=UTC)
NEWEST: Final = datetime(2026, 6, 1, tzinfo=UTC)


def chance(seed: int, *parts: object) -> int:
    """A number from 0 to 2**32 that depends on nothing but its arguments."""
    return zlib.crc32(":".join(map(str, (seed, *parts))).encode()) & 0xFFFFFFFF


def time_text(moment: datetime) -> str:
    """As PCO writes times: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created_at(number: int, count: int) -> datetime:
    """Ids grow with time: the `number`th of `count` records."""
    return FIRST_CREATED + (NEWEST - FIRST_CREATED) * number / max(count, 1)


def invented(seed: int, entity: str, number: int, count: int, name: str, attribute: Attribute) -> Any:
    """A value of the attribute's type; null now and then where PCO may answer null."""
    roll = chance(seed, entity, number, name)
    if name == "created_at":
        return time_text(created_at(number, count))
    if name == "updated_at":
        created = created_at(number, count)
        return time_text(created + (NEWEST - created) * (roll % 1000) / 1000)
    if attribute.nullable and roll % 5 == 0:
        return None
    if name in CHOICES:
        return CHOICES[name][roll // 8 % len(CHOICES[name])]
    match attribute.type:
        case "boolean":
            return roll % 3 == 0
        case "integer":
            return roll % 1000
        case "float":
            return roll % 100_000 / 8
        case "date":
            return (date(1940, 1, 1) + timedelta(days=roll % 30_000)).isoformat()
        case "date_time":
            return time_text(FIRST_CREATED + (NEWEST - FIRST_CREATED) * (roll % 10_000) / 10_000)
        case "array":
            return [_text(name, roll, number)]
        case "hash" | "json" | "object" | "repeatable_schedule":
            return {"label": _text(name, roll, number), "level": roll % 7}
        case "currency_abbreviation":
            return "USD"
        case "primary_key":
            return str(roll % 100_000)
    return _text(name, roll, number)


def _text(name: str, roll: int, number: int) -> str:
    first, last = FIRST[roll % len(FIRST)], LAST[roll // 64 % len(LAST)]
    if name in {"first_name", "given_name", "nickname", "middle_name"}:
        return first
    if name == "last_name":
        return last
    if name == "address":
        return f"person{number}@example.org"
    if "number" in name or name in {"e164", "national", "international"}:
        return f"+1555{roll % 10_000_000:07d}"
    if name == "name":
        return f"{first} {last}"
    if name.startswith(("street", "description")):
        return f"{number} {STREETS[roll % len(STREETS)]} Street, “quoted” & spaced"
    return f"{name.replace('_', ' ')} {roll % 97}"
