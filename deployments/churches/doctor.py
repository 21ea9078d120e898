"""`doctor`: look at a church's Planning Center, keep what was found out, and report it without any value."""

from collections import Counter, defaultdict
from functools import partial
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deployments.ended import print_document
from deployments.exit_codes import DONE, INCOMPLETE
from deployments.waiting import waiting
from pco_catalog.catalog import Catalog, load_catalog
from pco_store.schema_check import check_schema
from pco_store.verdicts.keeping import Kept, keep_verdicts
from tasks.doctor.asking import Asker
from tasks.doctor.examination import examine
from tasks.doctor.findings import CONSEQUENCES, EVERYWHERE, INCLUDE, MEANINGS, Examination, Finding
from tasks.lifespan import get_client_for_org, opened_resources
from tasks.patience import patiently
from tasks.patient_client import PatientClient
from tasks.reports.counted import counted
from tasks.retries import part_delays
from tasks.settings import read_settings

SUBJECTS_NAMED: Final = 3
"""Of those that have the same in common; the document for programs names all."""


async def examine_church(
    org_id: str, console: Console, *, as_json: bool = False, catalog: Catalog | None = None
) -> int:
    """Look at what the catalogue knows, keep what was found out, report it; the exit code.

    Raises `UnknownOrganizationError`, `ChurchRemoved`, and the errors of settings, store and client.
    """
    settings = read_settings()
    async with opened_resources(settings) as resources:
        await patiently(resources, check_schema)
        client = await get_client_for_org(org_id, resources)
        asker = Asker(
            client=PatientClient(client=client, delays=part_delays(first=settings.retry_first_seconds), lane="doctor"),
            at_once=settings.pages_in_flight,
            clock_offset=await resources.clock_offset(),
        )
        with waiting(console) as shown:
            examination = await examine(asker, catalog or load_catalog(), report=shown.show)
        kept = [kept_of(one) for one in examination.findings]
        await patiently(resources, partial(keep_verdicts, org_id=org_id, verdicts=kept))
    code = exit_code(examination)
    if as_json:
        print_document(as_document(examination))
    else:
        show(examination, console)
    return code


def exit_code(examination: Examination) -> int:
    """Whether anything is left for a person to look at."""
    return DONE if all(one.verdict == "holds" for one in examination.findings) else INCOMPLETE


def kept_of(finding: Finding) -> Kept:
    """A finding as the store keeps it; the choice of walks and includes knows an include by its own name."""
    return Kept(
        subject=finding.subject,
        assumption=finding.assumption,
        verdict=finding.verdict,
        seen=finding.seen,
        trait=finding.assumption.removeprefix(INCLUDE) if finding.kind in CONSEQUENCES else None,
    )


def as_document(examination: Examination) -> dict[str, Any]:
    """For programs, and for a public bug report: not even the church's name is in it."""
    return {
        "requests": examination.requests,
        "seconds": examination.seconds,
        "exit_code": exit_code(examination),
        "verdicts": Counter(one.verdict for one in examination.findings),
        "findings": [one.as_json() for verdict in ("fails", "unseen", "holds") for one in examination.of(verdict)],
    }


def show(examination: Examination, console: Console) -> None:
    """A table that fits a terminal of 80 columns, then what fails, then what could not be seen."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("what syncs rely on", no_wrap=True)
    for name in ("holds", "fails", "unseen"):
        table.add_column(name, justify="right", no_wrap=True)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in examination.findings:
        counts[one.kind][one.verdict] += 1
    for kind, meaning in MEANINGS.items():
        if kind in counts:
            numbers = [str(counts[kind][verdict] or "") for verdict in ("holds", "fails", "unseen")]
            table.add_row(meaning, numbers[0], f"[red]{numbers[1]}[/]", f"[yellow]{numbers[2]}[/]")
    console.print(table)
    failed = examination.of("fails")
    if failed:
        console.print("\n[red]Fails[/]", highlight=False)
    for one in failed:
        line = f"{_subject(one.subject)}, {one.assumption}: {one.seen or 'not so'}"
        console.print(Padding(Text(line), (0, 0, 0, 2)))
        if one.kind in CONSEQUENCES:
            console.print(Padding(Text(f"so {CONSEQUENCES[one.kind]}", style="dim"), (0, 0, 0, 4)))
    _show_unseen(examination, console)
    total = Counter(one.verdict for one in examination.findings)
    console.print(
        f"\n{total['holds']} hold, {total['fails']} fail, {total['unseen']} could not be seen; "
        f"{counted(examination.requests, 'request')}, {examination.seconds:.0f} s",
        highlight=False,
    )
    if total["fails"] or total["unseen"]:
        console.print("No record and no church is named here: this can be attached to a bug report.", style="dim")


def _show_unseen(examination: Examination, console: Console) -> None:
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in examination.of("unseen"):
        alike[one.assumption, one.seen].append(one.subject)
    if alike:
        console.print("\n[yellow]Could not be seen[/]", highlight=False)
    for (assumption, seen), subjects in alike.items():
        named = ", ".join(map(_subject, subjects[:SUBJECTS_NAMED]))
        left = len(subjects) - SUBJECTS_NAMED
        told = f"{named} and {left} more" if left > 0 else named
        line = Text.assemble(f"{assumption}: {seen} ", (f"({told})", "dim"))
        console.print(Padding(line, (0, 0, 0, 2)))


def _subject(subject: str) -> str:
    return "Planning Center" if subject == EVERYWHERE else subject
