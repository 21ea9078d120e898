"""Chooses entities by patterns such as `people.*`, `giving`, or `*.Person`. Pure."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pco_catalog.catalog import Catalog, Entity


class PatternMatchesNothingError(ValueError):
    """A pattern that fits nothing that is mirrored: most likely misspelt. The message names what may be meant."""


def select_entities(catalog: Catalog, include: Sequence[str], exclude: Sequence[str]) -> tuple[Entity, ...]:
    """The entities that fit one of `include` (all, if it is empty) and none of `exclude`, products together.

    A pattern is `product.Resource` with `*` and `?` as in file names; a product alone means all of it. Only what is
    mirrored can be chosen. Raises `PatternMatchesNothingError`.
    """
    listed = catalog.entities()
    for pattern in (*include, *exclude):
        if not any(fits(one, pattern) for one in listed):
            raise PatternMatchesNothingError(_misspelt(catalog, pattern, listed))
    return tuple(
        one
        for one in listed
        if (not include or any(fits(one, pattern) for pattern in include))
        and not any(fits(one, pattern) for pattern in exclude)
    )


def fits(entity: Entity, pattern: str) -> bool:
    """Whether a pattern chooses an entity."""
    lowered = pattern.lower()
    return lowered == entity.product or fnmatchcase(entity.name.lower(), lowered)


def where_shown(entity: Entity) -> str:
    """Where PCO shows a kind of record that it lists nowhere, for people."""
    alone = (
        f"shows it only at {' and '.join(entity.single_paths)}" if entity.single_paths else "shows it with others only"
    )
    return f"PCO lists it nowhere, and {alone}"


def _misspelt(catalog: Catalog, pattern: str, listed: Sequence[Entity]) -> str:
    for one in catalog.by_name.values():
        if not one.is_mirrored and one.name.lower() == pattern.lower():
            return f"{one.name} is not mirrored: {where_shown(one)}"
    known = {one.product for one in listed} | {one.name for one in listed}
    close = difflib.get_close_matches(pattern, sorted(known), n=3, cutoff=0.6)
    meant = f"; did you mean {', '.join(close)}?" if close else f"; products: {', '.join(sorted(_products(listed)))}"
    return f"the pattern {pattern!r} fits nothing in the catalogue{meant}"


def _products(listed: Sequence[Entity]) -> set[str]:
    return {one.product for one in listed}
