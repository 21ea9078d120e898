"""The custom fields of the simulated church: what they are, and what they hold of each person."""

from typing import Final

from pco_simulator.invented.chance import roller
from pco_simulator.invented.invention import Counts, Maker, Others, Stories, Targets, seconds_text

FIELDS: Final = (
    ("Baptism date", "baptism_date", "date"),
    ("First visit", "first_visit", "date"),
    ("Years attending", "years_attending", "number"),
    ("T-shirt size", "t_shirt_size", "select"),
    ("Allergies", "allergies", "text"),
    ("Photo consent", "photo_consent", "boolean"),
    ("Interests", "interests", "checkboxes"),
    ("Emergency contact", "emergency_contact", "string"),
)
"""Name, slug and data type; PCO documents no data type but `checkboxes`, the others are as clients name them."""
DATA_OF_A_PERSON: Final = 4

_CHECKBOXES: Final = 6
_OPTIONS: Final = ("Music", "Kids", "Hospitality", "Prayer, quietly", "Tech")
_SIZES: Final = ("S", "M", "L", "XL")
_DAYS: Final = 12 * 365


def counts(people: int) -> dict[str, int]:
    """How many records there are for so many people."""
    return {"people.FieldDefinition": len(FIELDS), "people.FieldDatum": people * DATA_OF_A_PERSON}


def _field(number: int) -> int:
    """Which field a datum fills: everyone has some of them, and one or two checked boxes."""
    person, slot = divmod(number, DATA_OF_A_PERSON)
    if slot == 2 and person % 3 == 0:
        return _CHECKBOXES
    return (person % 2, 2 + person // 2 % 2, (4, 5, 7, 5)[person // 2 % 4], _CHECKBOXES)[slot]


def _value(others: Others, _: Counts) -> Maker:
    """Values are text whatever their type; PCO does not say how it writes dates, and clients write both ways (#228).

    A field whose type was changed keeps what was entered before.
    """
    roll, name = roller("custom fields"), others("people.Person", "name")

    def make(number: int) -> str:
        rolled = roll(number)
        day = seconds_text(rolled % _DAYS * 86_400)[:10]
        match _field(number):
            case 0:
                return day
            case 1:
                return f"{day[5:7]}/{day[8:]}/{day[:4]}"
            case 2:
                return "a few" if rolled % 20 == 0 else str(rolled % 40)
            case 3:
                return _SIZES[rolled % len(_SIZES)]
            case 4:
                return ("Peanuts", "None known", "Bee stings")[rolled % 3]
            case 5:
                return ("true", "false")[rolled % 2]
            case 6:
                return _OPTIONS[(roll(number // DATA_OF_A_PERSON) + number) % len(_OPTIONS)]
        return str(name(number // DATA_OF_A_PERSON + 1))

    return make


MAKERS: Final[Stories] = {
    ("people.FieldDefinition", "name"): lambda *_: lambda number: FIELDS[number % len(FIELDS)][0],
    ("people.FieldDefinition", "slug"): lambda *_: lambda number: FIELDS[number % len(FIELDS)][1],
    ("people.FieldDefinition", "data_type"): lambda *_: lambda number: FIELDS[number % len(FIELDS)][2],
    ("people.FieldDefinition", "sequence"): lambda *_: lambda number: number + 1,
    ("people.FieldDatum", "value"): _value,
    ("people.FieldDatum", "file"): lambda *_: lambda number: {"url": None},
    ("people.FieldDatum", "file_content_type"): lambda *_: lambda number: None,
    ("people.FieldDatum", "file_name"): lambda *_: lambda number: None,
    ("people.FieldDatum", "file_size"): lambda *_: lambda number: None,
}
TARGETS: Final[Targets] = {
    ("people.FieldDatum", "field_definition"): lambda _: _field,
    ("people.FieldDatum", "customizable"): lambda _: lambda number: number // DATA_OF_A_PERSON,
}
