"""Which products a credential may read: asked once, so that a whole church is not failed by one that it may not."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from pco_catalog.catalog import Catalog
from pco_client.errors import PcoError, SkipError, Unauthorized
from tasks.logs import sync_logger
from tasks.patient_client import PatientClient

LATELY: Final = timedelta(hours=1)

FAILURES: Final = 2
"""Products that do not answer, and none that does: then it is not these products."""

PRODUCTS: Final = "products"
"""The lane of those requests."""


def read_lately(watermarks: Mapping[str, datetime], *, now: datetime) -> set[str]:
    """The products of which a list was read completely a moment ago, by its entities' watermarks.

    Nobody has to ask whether they may be read: a list that may not be read any more says the same.
    """
    return {name.partition(".")[0] for name, watermark in watermarks.items() if now - watermark < LATELY}


async def unreadable_products(
    client: PatientClient, catalog: Catalog, products: Iterable[str]
) -> tuple[dict[str, str], dict[str, PcoError]]:
    """The products that PCO refuses this credential, and what it says: 402, 403 or 404, for some of them 401 (#845).

    One request each. A product that does not answer as it should says nothing: its lists are tried, and fail by
    themselves; these products come second, each with its error. Raises `Unauthorized` if PCO accepts the credential for
    none of them, and an error of the client if the first `FAILURES` products fail, or all that were asked.
    """
    versions = {one.product: one.api_version for one in catalog.by_name.values()}
    refused: dict[str, str] = {}
    not_accepted: list[Unauthorized] = []
    failed: dict[str, PcoError] = {}
    answered = 0
    asked = sorted(set(products))
    for product in asked:
        try:
            await client.fetch_document(f"/{product}/v2", api_version=versions[product])
            answered += 1
        except SkipError as error:
            refused[product] = str(error)
        except Unauthorized as error:
            refused[product] = str(error)
            not_accepted.append(error)
        except PcoError as error:
            failed[product] = error
            if not (answered or refused) and len(failed) == min(FAILURES, len(asked)):
                raise
            sync_logger().warning("whether %s may be read is not known: %s", product, error)
    if asked and len(not_accepted) == len(asked):
        raise not_accepted[0]
    return refused, failed
