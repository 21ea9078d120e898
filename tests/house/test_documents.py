"""The documents cannot rot: their links lead somewhere, their commands exist, and every setting is told."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings

from embedded import prefect_server
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.removing import MOST_ROWS
from pco_worker.settings import WarmWorkerSettings
from tasks import receipts
from tasks.settings import SyncSettings
from tests.house.project import ROOT, documents, files, layers, make_targets

SETTINGS = Path("docs/settings.md")
NAME = re.compile(r"\bPCO_(?:SYNC|WORKER|SIMULATOR)_[A-Z0-9_]*[A-Z0-9]\b")


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def prose_and_code(path: Path) -> tuple[str, str]:
    """A document's text without its code, and its code."""
    code = re.compile(r"```.*?```|`[^`\n]+`", flags=re.DOTALL)
    return code.sub("", read(path)), "\n".join(code.findall(read(path)))


def names_of(settings: type[BaseSettings]) -> set[str]:
    return {f"{settings.model_config['env_prefix']}{field}".upper() for field in settings.model_fields}


@cache
def known_settings() -> frozenset[str]:
    """Every variable that the product reads: the fields of the settings, and names that its code spells out."""
    code = "\n".join(read(path) for path in (*files(".py"), *files(".yaml")) if path.parts[0] in layers())
    return frozenset(names_of(SyncSettings) | names_of(WarmWorkerSettings) | set(NAME.findall(code)))


def test_every_setting_is_told_and_no_other() -> None:
    told = set(NAME.findall(read(SETTINGS)))
    assert known_settings() - told == set()
    assert told - known_settings() == set()


def test_documents_speak_of_settings_that_exist() -> None:
    unknown = [f"{path}: {name}" for path in documents() for name in set(NAME.findall(read(path))) - known_settings()]
    assert unknown == []


def links(path: Path) -> Iterator[str]:
    """Where a document links to inside the project, without the anchors."""
    prose, _ = prose_and_code(path)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose):
        target = link.partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            yield target


def test_a_link_to_a_file_leads_to_one() -> None:
    dead = [
        f"{path}: {target}"
        for path in documents()
        for target in links(path)
        if target.startswith("/") or not (ROOT / path.parent / target).exists()
    ]
    assert dead == []


def test_a_make_command_in_a_document_exists() -> None:
    command = re.compile(r"(?:^|[`$&;(]\s*|\s{2})make ([a-z-]+)", flags=re.MULTILINE)
    unknown = [
        f"{path}: make {target}"
        for path in documents()
        for target in set(command.findall(prose_and_code(path)[1])) - make_targets()
    ]
    assert unknown == []


def test_what_is_kept_for_how_long_is_what_is_told() -> None:
    told, kept = read(Path("docs/operations.md")), Lifetimes()
    assert kept.newest_turns == 2
    assert f"(`sync.runs`, `sync.pages`) | {kept.turns.days} days; the newest two of each list and mode stay" in told
    assert f"| proofs (`sync.proofs`) | {kept.proofs.days} days;" in told
    assert f"| quarantine | what is in it: until it is resolved. Then {kept.resolved.days} days |" in told
    assert f"| receipts of pages, in Redis | {receipts.KEPT_SECONDS // 86400} days |" in told
    assert f"at most {MOST_ROWS} turns in a transaction" in told
    ours = {name: value for name, value in prefect_server.SETTINGS.items() if "_VACUUM_" in name}
    assert dict(re.findall(r"^(PREFECT_\w+_VACUUM_\w+)=(\S+)$", told, flags=re.MULTILINE)) == ours
    seconds = int(ours["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"])
    assert f"task runs, logs and artifacts | {seconds // 86400} days after their end" in told


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(read(Path("README.md")).splitlines()) <= 130


def test_a_page_begins_with_what_it_is_for() -> None:
    pages = [path for path in documents() if path.parent == Path("docs")]
    begun = {path: read(path).split("\n\n", 2)[:2] for path in pages}
    assert pages
    assert [
        path
        for path, (title, first) in begun.items()
        if title[:2] != "# " or first[:3] in {"```", "## "} or first[0] == "|"
    ] == []


def test_the_readme_tells_the_two_commands() -> None:
    _, code = prose_and_code(Path("README.md"))
    assert "make demo" in code
    assert "make test" in code


def test_make_help_lists_every_target_with_a_line() -> None:
    listed = set(re.findall(r"^([a-z-]+):.*## \S", read(Path("Makefile")), flags=re.MULTILINE))
    assert listed == make_targets()
