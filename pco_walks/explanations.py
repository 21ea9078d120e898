"""How each resource is read, and why, in words for people: from what the catalogue says. Pure."""

from dataclasses import dataclass

from pco_catalog.ancestors import columns_of, ids_in, own_ids
from pco_catalog.catalog import Catalog, Entity, Sideload
from pco_catalog.chains import Chain, Level, chains_to
from pco_catalog.changes import can_be_ranged, delta_attribute
from pco_catalog.due_lists import cheapest_chain, load_due_rules
from pco_walks.window import LOOKBACK


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One way to read an entity, for people: which walk, on what it relies, what it costs, and whose ids it tells.

    `ancestors` are the columns of a row that this way fills; one in brackets is kept as a link, because many parents
    share the record. `due` says when such a list is read again.
    """

    way: str
    walk: str
    relies_on: str
    because: str
    requests: str
    ancestors: tuple[str, ...] = ()
    due: str = ""


def explain(catalog: Catalog, entity: Entity) -> list[Explained]:
    """Every way there is to read an entity, the usual ones first."""
    told = [] if entity.list_path is None else [_explain_full(entity), _explain_delta(entity)]
    if entity.sideload is not None:
        told.append(_explain_sideload(entity, entity.sideload))
    usual = cheapest_chain(catalog, entity, {}).names if entity.list_path is None and entity.list_paths else []
    chains = sorted(chains_to(catalog, entity), key=lambda chain: chain.names != usual)
    return told + [_explain_chain(chain) for chain in chains]


def _explain_full(entity: Entity) -> Explained:
    if can_be_ranged(entity, "created_at"):
        return Explained(
            way="full",
            walk="frozen window, pages side by side, back to front; above 25,000 records divided into windows of time",
            relies_on="where[created_at][lte], total_count; order by id",
            because="PCO filters this list by created_at, so nothing can enter it while it is read",
            requests="a page per 100 records; one or two more for each 20,000 of a long list",
            ancestors=_named_by_records(entity),
        )
    return Explained(
        way="full",
        walk="strict: one page at a time, back to front",
        relies_on="order by id",
        because="PCO does not filter this list by created_at, so only the order proves that nothing was missed",
        requests="a page per 100 records, and the first one twice",
        ancestors=_named_by_records(entity),
    )


def _explain_delta(entity: Entity) -> Explained:
    attribute = delta_attribute(entity)
    if attribute is None:
        return Explained(
            way="delta",
            walk="none",
            relies_on="",
            because="PCO neither filters nor orders this list by a time of change; the full walk finds what changed",
            requests="",
        )
    if not can_be_ranged(entity, attribute):
        return Explained(
            way="delta",
            walk="newest first: from the last change down to the watermark, pages overlapping by one record",
            relies_on="order=-updated_at",
            because="PCO orders this list by updated_at, but ignores where[updated_at]",
            requests="a page per 99 records that changed, one at least",
            ancestors=_named_by_records(entity),
        )
    minutes = int(LOOKBACK.total_seconds() // 60)
    append_only = "; it never changes, or only the full walk sees that" if attribute == "created_at" else ""
    return Explained(
        way="delta",
        walk=f"window from {minutes} minutes before the watermark until now",
        relies_on=f"where[{attribute}][gte] and [lte], total_count; order by id",
        because=f"PCO filters this list by {attribute}{append_only}",
        requests="a page per 100 records that are new, one at least",
        ancestors=_named_by_records(entity),
    )


def _explain_sideload(entity: Entity, sideload: Sideload) -> Explained:
    return Explained(
        way=f"with {sideload.owner}",
        walk=f"that of {sideload.owner}, in every mode; asked for alone, that list is read",
        relies_on=f"include={sideload.include}, and its relationships in the owners' records",
        because=f"PCO sends all of them with their owners; where it does not, it shows them at {sideload.path}",
        requests="none of its own; four to six for each full reading, to compare some owners with their own lists",
        ancestors=tuple(dict.fromkeys([*_named_by_records(entity), *_named_by_path(entity, sideload.path)])),
    )


def _explain_chain(chain: Chain) -> Explained:
    parents = " > ".join(chain.names)
    last = chain.levels[-1]
    return Explained(
        way=f"below {parents}",
        walk=f"a list for each {last.parent.name}: {last.path}",
        relies_on="the same as in full, for each list"
        + (f"; include={','.join(last.include)}" if last.include else ""),
        because=_why_below(last.entity),
        requests=f"one at least for each {last.parent.name}, and the pages of {parents}",
        ancestors=tuple(dict.fromkeys([*_named_by_records(last.entity), *_named_by_list(last)])),
        due="" if last.entity.list_path else _when_due(last),
    )


def _when_due(level: Level) -> str:
    rule, parent = load_due_rules().of(level.entity), level.parent.name
    columns = {*level.parent.attributes, *level.parent.relationships}
    told = [f"once in {rule.every_days} days"]
    if watched := [name for name in rule.watch if name in columns]:
        told.append(f"earlier when {', '.join(watched)} of the {parent} changes")
    if rule.hot is not None and rule.hot.at in columns:
        days = ", ".join(map(str, rule.hot.days))
        told.append(f"and {days} days after its {rule.hot.at}")
    if rule.hot is not None and rule.hot.full is not None:
        first, last = rule.hot.full
        told.append(f"a full sync without patterns reads those of {first} to {last} days after it, and what is due")
    if rule.named_by:
        named = " or ".join(f"{column} of {entity}" for entity, column in rule.named_by)
        told.append(
            "a full sync whose patterns choose it, but do not name the kind itself, reads those of a "
            f"{named}, and what is due"
        )
    if rule.only is not None:
        told.append(f"where {rule.only} of the {parent} is true, for all others are empty")
    if rule.only_after is not None:
        told.append(f"from its {rule.only_after} on, for before it is empty")
    if rule.is_rare:
        told.append("after everything else; a full sync without patterns leaves it to the nights")
    return "; ".join(told)


def _why_below(entity: Entity) -> str:
    if entity.sideload is not None:
        return f"it is read so if {entity.sideload.owner} does not bring all of it, or on request"
    return "PCO shows it below its parents" + ("" if entity.list_path else " only")


def _named_by_records(entity: Entity) -> tuple[str, ...]:
    """The ancestors that every record of the entity names itself, whichever way it is read."""
    columns = columns_of(entity)
    return tuple(name for name in columns.ancestors if name not in columns.told)


def _named_by_path(entity: Entity, path: str) -> list[str]:
    own = own_ids(entity, path)
    return [name if name in own else f"({name})" for name in ids_in(path)]


def _named_by_list(level: Level) -> list[str]:
    return [*_named_by_path(level.entity, level.path), *(f"{name}_id" for name in level.include)]
