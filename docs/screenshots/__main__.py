"""`make screenshots`: run the demo, keep its terminal output as SVG and Prefect's page of its run as PNG."""

import asyncio
import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from rich.console import Console
from rich.terminal_theme import MONOKAI

from docs.screenshots.browser import BrowserError, Tab, opened_tab
from embedded.home import services_home
from embedded.services import Services

if TYPE_CHECKING:  # Prefect is imported only when the environment names its server
    from prefect.client.orchestration import PrefectClient

PICTURES: Final = Path(__file__).parent.parent / "pictures"
COLUMNS: Final = 84


def main() -> int:
    """0 when every picture was drawn anew."""
    services = Services(services_home())
    console = Console(record=True, width=COLUMNS, color_system="truecolor", force_terminal=False)
    with ExitStack() as running:
        if not services.is_running:
            running.callback(services.stop)
        console.print("[bold green]$[/] [bold]make demo[/]\n\n[bold]Planning Center to Postgres[/], ", end="")
        console.print("with an invented church\n", highlight=False)
        services.start(lambda what: console.print(f"  {what}", style="dim"))
        os.environ.update(services.environment())
        from deployments.demo.people import run_demo

        if not run_demo(services, console, running):
            return 1
        recorded = console.export_text(clear=False)
        console.save_svg(str(PICTURES / "demo.svg"), title="pco-sync", theme=MONOKAI)
        _without_web_fonts(PICTURES / "demo.svg")
        found = re.search(r"The run\s+(http://\S+/runs/flow-run/\S+)", recorded)
        assert found is not None, "the demo says where its run can be seen"
        try:
            asyncio.run(_draw_run(found[1]))
        except BrowserError as error:
            Console(stderr=True).print(f"error: {error}", style="red", markup=False)
            return 1
    return 0


async def _draw_run(url: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType

    flow_run_id = UUID(url.rpartition("/")[2])
    async with get_client() as client:
        await _all_recorded(client, flow_run_id)
        tables = await client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), type=ArtifactFilterType(any_=["table"])
            )
        )
    async with opened_tab(width=1280, height=800) as tab:
        await tab.open(url)
        await tab.wait_for_text(r"Completed[\s\S]*is complete")
        await _settled(tab)
        await tab.picture(PICTURES / "prefect-run.png")
        await tab.open(f"{url.partition('/runs/')[0]}/artifacts/artifact/{tables[0].id}")
        await tab.wait_for_text(r"unchanged")
        await _settled(tab)
        await tab.picture(PICTURES / "prefect-closing-table.png")


async def _all_recorded(client: "PrefectClient", flow_run_id: UUID) -> None:
    """Until Prefect's server knows the end of every task run; they reach it as events, a little late."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    known, again = -1, 0
    for _ in range(60):
        runs = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
        is_settled = len(runs) == known and all(run.state is not None and run.state.is_final() for run in runs)
        known, again = len(runs), again + 1 if is_settled else 0
        if again == 3:
            return
        await asyncio.sleep(1)
    raise BrowserError(f"Prefect's server does not know the end of all {known} task runs")


async def _settled(tab: Tab) -> None:
    """Until the picture no longer changes: the graph of the run is drawn with a little animation."""
    before, again = None, 0
    for _ in range(60):
        now = (await tab.send("Page.captureScreenshot", format="png"))["data"]
        again = again + 1 if now == before else 0
        if again == 3:
            return
        before = now
        await asyncio.sleep(0.5)


def _without_web_fonts(file: Path) -> None:
    """A picture should load nothing from elsewhere; the viewer's own monospace font does."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", file.read_text(encoding="utf-8"))
    file.write_text(svg.replace("Fira Code", "ui-monospace, Menlo, Consolas"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
