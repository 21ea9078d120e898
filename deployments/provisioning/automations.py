"""Creates or updates the automations of `automations.yaml` with Prefect's server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml
from prefect.client.orchestration import get_client
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import AutomationCore

AUTOMATIONS: Final = Path(__file__).with_name("automations.yaml")
FORMER: Final = ("pco-sync cancel silent runs",)
"""What older versions made: each automation costs Prefect's server something for each end of a run."""


def read_automations() -> list[AutomationCore]:
    """What the file says. Raises `pydantic.ValidationError` for what Prefect would not understand."""
    return [AutomationCore.model_validate(one) for one in yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))]


def kept_actions(wanted: AutomationCore, known: AutomationCore) -> Sequence[object]:
    """The actions of an automation that is there: where the file has none, those that a person has chosen stay."""
    return known.actions if all(isinstance(one, DoNothing) for one in wanted.actions) else wanted.actions


async def provision_automations() -> None:
    """Bring every automation to what the file says, by its name, and take former ones away; others stay as they are."""
    async with get_client() as client:
        for name in FORMER:
            for former in await client.read_automations_by_name(name):
                await client.delete_automation(former.id)
        for automation in read_automations():
            known = await client.read_automations_by_name(automation.name)
            if known:
                kept = kept_actions(automation, known[0])
                await client.update_automation(known[0].id, automation.model_copy(update={"actions": kept}))
            else:
                await client.create_automation(automation)
