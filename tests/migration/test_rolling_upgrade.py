"""A worker of an older release, at work while the tables are migrated: it finishes, and new workers follow."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from embedded.home import usable_home
from embedded.server_process import inherited_environment
from embedded.services import MIRROR_DATABASE, Services
from pco_store.schema_check import newest_migration
from tests.house.project import ROOT
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

OLDER_RELEASE: Final = "243f4ce0a15e58a8cd969154caf57258856e093d"
"""The last commit of 28 November 2026. Its tables are at migration 0014, and it begins no turn on newer ones."""
MIRRORED: Final = ("groups.Group", "groups.Membership", "people.Email")
BESIDE: Final = "from flows.sync_entity import sync_entity; sync_entity('grace', 'people.Email')"
"""What a process of the new release does while the old worker is at work."""


@pytest.fixture
def older(home: Path) -> Path:
    """The code of that release, as its checkout."""
    folder = home / "older"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", OLDER_RELEASE], cwd=ROOT, capture_output=True, check=False)
    assert archive.returncode == 0, (
        f"this test needs the project's history up to {OLDER_RELEASE}, which a shallow clone lacks "
        f"(git fetch --unshallow): {archive.stderr.decode()}"
    )
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    return folder


class Release:
    """The commands of one release's checkout."""

    def __init__(self, folder: Path, environment: dict[str, str], log: Path) -> None:
        self._folder, self._environment, self._log = folder, environment, log

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return self._python("-m", "deployments", *words)

    def script(self, code: str) -> int:
        return self._python("-c", code).wait(timeout=300)

    def _python(self, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def run(self, *words: str) -> int:
        return self.start(*words).wait(timeout=300)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        one = self.start("worker")
        try:
            yield one
        finally:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@pytest.mark.nightly
def test_a_worker_of_an_older_release_finishes_on_new_tables_and_new_workers_follow(
    home: Path, older: Path, tmp_path: Path
) -> None:
    services, log = Services(usable_home(home / "rolling")), tmp_path / "log"
    services.start()
    try:
        with SimulatorProcess(people=40, groups=30, latency_ms=50) as simulator:
            environment = inherited_environment(
                **services.environment(),
                PCO_SYNC_ORG_ID="grace",
                PCO_SYNC_APPLICATION_ID=simulator.app_id,
                PCO_SYNC_SECRET=simulator.secret,
                PCO_SYNC_PCO_BASE_URL=simulator.base_url,
                PCO_SYNC_PAGES_IN_FLIGHT="1",
            )
            before, after = Release(older, environment, log), Release(ROOT, environment, log)

            def sql(statement: str) -> str:
                return services.postgres.psql(MIRROR_DATABASE, statement)

            def pages() -> int:
                return int(sql("SELECT count(*) FROM sync.pages"))

            assert before.run("migrate") == 0, log.read_text()
            assert before.run("deploy") == 0, log.read_text()
            assert sql("SELECT version_num FROM sync.migrations") == "0014"
            with before.worker() as old_worker:
                sync = before.start("sync", "grace", "groups.Membership", "--groups-per-run", "15")
                wait_until(lambda: pages() > 2, lambda: f"pages are read: {log.read_text()}", seconds=240)
                simulator.latency(5000)

                assert after.run("migrate") == 0, log.read_text()
                read_before = pages()
                assert sync.poll() is None, "it is still at work"
                assert sql("SELECT version_num FROM sync.migrations") == newest_migration()
                simulator.latency(500)
                assert after.script(BESIDE) == 0, log.read_text()
                assert sync.poll() is None, "it is still at work, beside the new release"
                simulator.latency(50)

                assert sync.wait(timeout=300) == 0, log.read_text()
                assert pages() > read_before + 5, "it went on on the new tables"
                for name in MIRRORED:
                    mirrored = set(sql(f"SELECT id FROM {name.lower()} WHERE _deleted_at IS NULL").splitlines())
                    assert mirrored == {str(one["id"]) for one in simulator.state(name)}, name
                failed = "SELECT count(*) FROM sync.runs WHERE error IS NOT NULL OR state <> 'completed'"
                assert sql(failed) == "0", sql("SELECT key, state, error FROM sync.runs WHERE error IS NOT NULL")

                old_worker.terminate()
                assert old_worker.wait(timeout=60) == 0, log.read_text()[-3000:]
            assert after.run("deploy") == 0, log.read_text()
            changed = "SELECT count(*) FROM sync.church_changes"
            assert sql(changed) != "0", "the old worker knows nothing of them"
            with after.worker():
                wait_until(lambda: sql(changed) == "0", lambda: f"a sweep sees them: {log.read_text()}", seconds=120)
                assert after.run("sync", "grace", "groups", "--mode", "delta") == 0, log.read_text()[-3000:]
    finally:
        services.stop()
