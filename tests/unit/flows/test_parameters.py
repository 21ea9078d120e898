"""What a sync is told is checked before any work; a wrong value is refused by field and with what is allowed."""

from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.parameters import listed_entities
from flows.sync_entity import sync_entity

GOOD = {"org_id": "grace", "entity": "people.Person", "epoch": None, "on_conflict": "join", "mode": "full"}


def refusal(**wrong: Any) -> str:
    """What the flow says about these parameters."""
    with pytest.raises(ParameterTypeError) as caught:
        sync_entity.validate_parameters({**GOOD, **wrong})
    return str(caught.value)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"org_id": "1st-church-of-st-mary"},
        {"entity": "groups.GroupType"},
        {"epoch": "2026-11-24"},
        {"epoch": "2026-11-24T12:00:00+00:00"},
        {"on_conflict": "restart", "mode": "delta"},
    ],
)
def test_good_parameters_pass(good: dict[str, str]) -> None:
    assert sync_entity.validate_parameters({**GOOD, **good})["org_id"] == good.get("org_id", "grace")


@pytest.mark.parametrize("org_id", ["", "Grace", "grace church", "grace/../faith", "-grace", "g" * 64, "gräce", "a\n"])
def test_an_org_id_that_cannot_be_names_its_alphabet(org_id: str) -> None:
    message = refusal(org_id=org_id)
    assert "org_id must be 1 to 63 lower-case letters, digits and dashes, such as 'grace'" in message


@pytest.mark.parametrize("epoch", ["", " ", "a b", "-1", "x" * 65, "a/b", "a#b"])
def test_an_epoch_that_cannot_be_names_its_alphabet(epoch: str) -> None:
    assert "epoch must be 1 to 64 letters, digits and . _ : + -, such as '2026-11-24'" in refusal(epoch=epoch)


@pytest.mark.parametrize("entity", ["people.Persn", "people.person", "Person", "peple.Person"])
def test_an_entity_that_is_nearly_one_is_answered_with_what_may_be_meant(entity: str) -> None:
    message = refusal(entity=entity)
    assert "entity" in message
    assert f"{entity!r} is not in the catalogue; did you mean" in message
    assert "people.Person" in message


def test_an_entity_that_is_like_none_says_how_entities_are_written() -> None:
    message = refusal(entity="xxxxxxxxxxxx")
    assert "did you mean" not in message
    assert "written product.Resource such as people.Person" in message


@pytest.mark.parametrize(
    ("field", "allowed"), [("on_conflict", ("'join'", "'reject'", "'restart'")), ("mode", ("'full'", "'delta'"))]
)
@pytest.mark.parametrize("value", ["", "JOIN", 7, None])
def test_another_word_is_refused_with_the_words_that_are_allowed(
    field: str, allowed: tuple[str, ...], value: object
) -> None:
    message = refusal(**{field: value})
    assert field in message
    assert all(word in message for word in allowed)


@pytest.mark.parametrize("field", ["org_id", "entity", "epoch"])
@pytest.mark.parametrize("value", [7, ["grace"], {}, True])
def test_another_type_than_text_is_refused_by_field(field: str, value: object) -> None:
    message = refusal(**{field: value})
    assert field in message
    assert "Input should be a valid string" in message


def test_what_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match="org_id"):
        sync_entity(entity="people.Person")


def test_every_entity_that_is_offered_is_accepted_and_has_a_list_at_top_level() -> None:
    for name in listed_entities():
        sync_entity.validate_parameters({**GOOD, "entity": name})
    wanted = {"people.Person", "people.Email", "people.PhoneNumber", "people.Campus", "people.Household"}
    assert {*wanted, "groups.Group", "groups.GroupType"} <= set(listed_entities())


def test_a_flow_with_other_options_is_called_from_anywhere_too() -> None:
    other = sync_entity.with_options(name="mine", retries=2)
    assert (type(other), other.name, other.retries) == (type(sync_entity), "mine", 2)
    assert sync_entity.name == "sync-entity"
