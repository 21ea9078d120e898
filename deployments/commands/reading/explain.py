"""`explain`: how a resource is read."""

from dataclasses import asdict

from deployments.ended import print_document
from deployments.exit_codes import DONE, FAILED
from deployments.parameters import Json, KnownEntity
from deployments.terminal import print_plain, terminal
from pco_catalog.catalog import load_catalog


def explain(entity: KnownEntity, /, *, json: Json = False) -> int:
    """Report how a resource is read, and why."""
    from pco_walks.explanations import explain as explained

    console, catalog = terminal(as_json=json), load_catalog()
    described = catalog.entity(entity)
    ways = explained(catalog, described)
    table = f"{described.schema_name}.{described.table_name}"
    if json:
        facts = {"entity": entity, "table": table if ways else None, "api_version": described.api_version}
        print_document({**facts, "ways": [asdict(one) for one in ways]})
        return DONE if ways else FAILED
    if not ways:
        console.print(f"{entity}: PCO lists it nowhere; it is only shown with other records")
        return FAILED
    console.print(f"[bold]{entity}[/]  in {table}  (API version {described.api_version})", soft_wrap=True)
    for one in ways:
        console.print(f"\n[bold]{one.way}[/]: {one.walk}", highlight=False, soft_wrap=True)
        print_plain(console, f"  because    {one.because}")
        if one.relies_on:
            print_plain(console, f"  relies on  {one.relies_on}")
            print_plain(console, f"  requests   {one.requests}")
            ancestors = ", ".join(one.ancestors) or "none"
            print_plain(console, f"  ancestors  {ancestors}")
        if one.due:
            print_plain(console, f"  due        {one.due}")
    return DONE
