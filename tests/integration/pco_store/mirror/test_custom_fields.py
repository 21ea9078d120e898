"""Custom fields as columns: whatever a church calls its fields, and whatever it entered, there is a view of them."""

from datetime import date
from decimal import Decimal
from typing import Any

from pco_store.database import Database
from pco_store.mirror.custom_fields import CustomFieldsView, make_custom_fields_view
from tests.integration.views import mirror, resource, select


async def define(database: Database, *fields: dict[str, Any], org_id: str = "grace") -> None:
    """Mirror these definitions, with the ids 1, 2, 3, …, and two people."""
    records = [resource("FieldDefinition", str(n), field) for n, field in enumerate(fields, start=1)]
    await mirror(database, "people.FieldDefinition", *records, org_id=org_id)
    await mirror(
        database, "people.Person", *(resource("Person", one, {"first_name": "Ada"}) for one in "12"), org_id=org_id
    )


async def fill(database: Database, *data: tuple[str, str | None], person: str = "1", org_id: str = "grace") -> None:
    """Mirror values of a person: (id of the definition, value)."""
    records = [
        resource(
            "FieldDatum",
            f"{person}{n:02}",
            {"value": value},
            {"customizable": ("Person", person), "field_definition": ("FieldDefinition", field)},
        )
        for n, (field, value) in enumerate(data)
    ]
    await mirror(database, "people.FieldDatum", *records, org_id=org_id)


async def make(database: Database, org_id: str = "grace") -> CustomFieldsView:
    """Make the view."""
    async with database.transaction() as connection:
        return await make_custom_fields_view(connection, org_id)


async def shown(database: Database, view: CustomFieldsView) -> dict[str, dict[str, Any]]:
    """The rows of the view by person, without the church."""
    rows = await select(database, f"SELECT * FROM {view.name}")
    return {row.pop("person_id"): row for row in rows if row.pop("org_id")}


def columns(view: CustomFieldsView) -> list[str]:
    """The names of the columns that fields have."""
    return [name for name, _ in view.columns[2:]]


async def test_a_field_is_a_column_of_its_type(database: Database) -> None:
    kinds = ("date", "number", "boolean", "checkboxes", "select", "brand_new")
    await define(database, *({"slug": f"a_{kind}", "data_type": kind} for kind in kinds))
    await fill(database, ("1", "2026-02-28"), ("2", "4.50"), ("3", "true"), ("4", "b"), ("4", "a, c"), ("5", "XL"))

    view = await make(database)

    assert view.name == "people.custom_fields_grace"
    assert dict(view.columns) == {
        "org_id": "text", "person_id": "text", "a_date": "date", "a_number": "numeric", "a_boolean": "boolean",
        "a_checkboxes": "text", "a_select": "text", "a_brand_new": "text",
    }  # fmt: skip
    rows = await shown(database, view)
    assert rows["1"] == {
        "a_date": date(2026, 2, 28), "a_number": Decimal("4.50"), "a_boolean": True, "a_checkboxes": "b, a, c",
        "a_select": "XL", "a_brand_new": None,
    }  # fmt: skip
    assert set(rows["2"].values()) == {None}, "a person without any value is a row, too"
    told = {row["person_id"]: row["fields"] for row in await select(database, "SELECT * FROM people.custom_fields")}
    assert told == {
        "1": {
            "a_date": "2026-02-28",
            "a_number": "4.50",
            "a_boolean": "true",
            "a_checkboxes": ["b", "a, c"],
            "a_select": "XL",
        },
        "2": {},
    }


VALUES = (
    ("date", "2024-02-29", date(2024, 2, 29)),
    ("date", " 2024-02-29T23:59:59Z ", date(2024, 2, 29)),
    ("date", "2/9/2024", date(2024, 2, 9)),
    ("date", "12/31/2024", date(2024, 12, 31)),
    ("date", "2023-02-29", None),
    ("date", "31/12/2024", None),
    ("date", "0000-01-01", None),
    ("date", "9999-12-31", date(9999, 12, 31)),
    ("date", "next Sunday", None),
    ("date", "infinity", None),
    ("date", "", None),
    ("number", "-12.50", Decimal("-12.50")),
    ("number", " 7\n", Decimal(7)),
    ("number", "1,200", None),
    ("number", "1e400", None),
    ("number", "NaN", None),
    ("number", "٣", None),
    ("number", "9" * 101, None),
    ("number", ".", None),
    ("boolean", "False", False),
    ("boolean", "yes", True),
    ("boolean", "perhaps", None),
    ("date", None, None),
)


async def test_each_column_has_words_that_name_the_field_by_its_id_and_not_in_the_churchs_words(
    database: Database,
) -> None:
    kinds = ("date", "checkboxes", "select")
    await define(database, *({"slug": f"secret_{kind}", "name": "Secret", "data_type": kind} for kind in kinds))
    view = await make(database)
    words = {
        row["attname"]: row["words"]
        for row in await select(
            database,
            "SELECT attname, col_description(attrelid, attnum) AS words FROM pg_attribute "
            f"WHERE attrelid = '{view.name}'::regclass AND attnum > 0",
        )
    }
    assert all(words.values())
    assert "id 1 of people.field_definition, as date" in words["secret_date"]
    assert "commas" in words["secret_checkboxes"]
    assert "ecret" not in " ".join(words.values())


async def test_a_value_that_does_not_fit_is_null_and_never_an_error(database: Database) -> None:
    await define(database, *({"slug": f"f{n}", "data_type": kind} for n, (kind, _, _) in enumerate(VALUES)))
    await fill(database, *((str(n), value) for n, (_, value, _) in enumerate(VALUES, start=1)))
    row = (await shown(database, await make(database)))["1"]
    for (kind, value, expected), found in zip(VALUES, row.values(), strict=True):
        assert found == expected, f"{kind} {value!r}"


HOSTILE = (
    'a"b',
    "it's",
    "'); DROP TABLE people.person; --",
    "%I %L %s %1$s",
    "$$; SELECT 1; $$",
    "line\nbreak\ttab",
    "\\",
    "🎉" * 40,
    "ü" * 63,
    "select",
    "ctid",
    "org_id",
    "Name",
    "name",
)


async def test_any_name_can_be_a_column(database: Database) -> None:
    await define(database, *({"slug": "", "name": name, "data_type": "text"} for name in HOSTILE))
    await fill(database, *((str(n), name) for n, name in enumerate(HOSTILE, start=1)))

    view = await make(database)

    row = (await shown(database, view))["1"]
    assert list(row.values()) == list(HOSTILE)
    assert all(len(name.encode()) <= 63 for name in row)
    plain = [name for name in HOSTILE if len(name.encode()) <= 63 and name != "org_id"]
    assert [name for name in row if name in plain] == plain
    assert "🎉" * 15 in row
    assert "org_id_2" in row
    assert await select(database, "SELECT 1 FROM people.person") != []


async def test_names_that_clash_get_a_suffix_that_stays_when_fields_are_added(database: Database) -> None:
    long = "x" * 80
    names = ["size", "size", "size_2", "size", long, long + "y", "", " "]
    await define(database, *({"slug": name, "name": None, "data_type": "text"} for name in names))
    expected = ["size", "size_2", "size_2_2", "size_3", "x" * 63, "x" * 61 + "_2", "field", "field_2"]
    assert columns(await make(database)) == expected
    await mirror(database, "people.FieldDefinition", resource("FieldDefinition", "100", {"slug": "size"}))
    assert columns(await make(database)) == [*expected, "size_4"]


async def test_the_fields_of_the_jsonb_view_are_called_like_the_columns(database: Database) -> None:
    await define(database, *({"slug": "size", "name": "Size", "data_type": "text"} for _ in range(3)))
    await fill(database, ("1", "a"), ("2", "b"), ("3", "c"))
    (told,) = await select(database, "SELECT fields FROM people.custom_fields WHERE person_id = '1'")
    assert told["fields"] == {"size": "a", "size_2": "b", "size_3": "c"}
    assert (await shown(database, await make(database)))["1"] == told["fields"]


async def test_the_view_follows_the_fields(database: Database) -> None:
    await define(database, {"slug": "first", "data_type": "text"}, {"slug": "second", "data_type": "date"})
    await make(database)
    await select(database, "UPDATE people.field_definition SET slug = 'renamed', data_type = 'number' WHERE id = '2'")
    await select(database, "UPDATE people.field_definition SET _deleted_at = now() WHERE id = '1'")
    assert (await make(database)).columns[2:] == (("renamed", "numeric"),)
    await select(database, "UPDATE people.field_definition SET deleted_at = now() WHERE id = '2'")
    assert (await make(database)).columns == (("org_id", "text"), ("person_id", "text"))


async def test_what_is_not_of_a_live_person_does_not_count(database: Database) -> None:
    await define(database, {"slug": "size", "data_type": "text"})
    elsewhere = {"customizable": ("Household", "1"), "field_definition": ("FieldDefinition", "1")}
    await mirror(database, "people.FieldDatum", resource("FieldDatum", "1", {"value": "a household's"}, elsewhere))
    await select(database, "UPDATE people.person SET _deleted_at = now() WHERE id = '2'")
    view = await make(database)
    assert await shown(database, view) == {"1": {"size": None}}
    (told,) = await select(database, "SELECT person_id, fields FROM people.custom_fields")
    assert told == {"person_id": "1", "fields": {}}


async def test_every_church_has_a_view_of_its_own_however_long_its_name(database: Database) -> None:
    churches = ["grace", "g" * 63, "g" * 62 + "h"]
    made = []
    for org_id in churches:
        await define(database, {"slug": f"of_{org_id[-1]}", "data_type": "text"}, org_id=org_id)
        await fill(database, ("1", org_id), org_id=org_id)
        made.append(await make(database, org_id))
    assert len({view.name for view in made}) == len(churches)
    for org_id, view in zip(churches, made, strict=True):
        assert (await shown(database, view))["1"] == {f"of_{org_id[-1]}": org_id}
        (told,) = await select(database, "SELECT obj_description(to_regclass(:view)) AS words", view=view.name)
        assert "typed column" in told["words"]
