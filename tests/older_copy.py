"""A database is replaced by a copy of itself that is older, as `pg_dump` and `pg_restore` do it."""

import os
import subprocess
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from embedded.postgres import Postgres


class OlderCopy:
    """Of the database at `url`, as it is now."""

    def __init__(self, postgres: Postgres, url: str, folder: Path) -> None:
        self._postgres = postgres
        self._url = url
        self._bin = postgres.programs
        self._file = folder / "older.dump"

    def take(self) -> Self:
        """Write the copy."""
        self._run("pg_dump", "--format=custom", f"--file={self._file}", self._url)
        return self

    def restore(self) -> None:
        """Put the copy in the place of the database; whoever is connected to that is thrown out."""
        name = urlsplit(self._url).path.removeprefix("/")
        self._postgres.psql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
        self._postgres.psql("postgres", f"CREATE DATABASE {name}")
        self._run("pg_restore", "--exit-on-error", f"--dbname={self._url}", str(self._file))

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
