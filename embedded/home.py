"""Where the embedded servers keep their data."""

import os
from pathlib import Path
from typing import Final

import platformdirs

LONGEST_SOCKET_PATH: Final = 100
"""Bytes. Linux takes 107 and macOS 103 for the path of a Unix socket."""


class UnusableHomeError(Exception):
    """The data folder cannot hold the servers; the message says why and what to set."""


def services_home() -> Path:
    """The data folder: `PCO_SYNC_HOME`, else the system's place for it. Created if it is not there.

    PostgreSQL refuses to run as root, so for root its data belongs to another system user who must be able to reach
    the folder; root's own home folder is no place for that, `/var/lib` is.

    Raises `UnusableHomeError`.
    """
    told = os.environ.get("PCO_SYNC_HOME")
    if told:
        home = Path(told).expanduser().resolve()
    elif os.geteuid() == 0:
        home = Path("/var/lib/pco-sync")
    else:
        home = platformdirs.user_data_path("pco-sync")
    return usable_home(home)


def usable_home(home: Path) -> Path:
    """The folder, created and checked. Raises `UnusableHomeError`."""
    socket = home / "postgres" / ".s.PGSQL.5432"
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        raise UnusableHomeError(
            f"the data folder's path is too long for PostgreSQL's socket ({len(os.fsencode(socket))} bytes, "
            f"{LONGEST_SOCKET_PATH} fit): {home}. Set PCO_SYNC_HOME to a shorter one"
        )
    if " " in str(home) or "'" in str(home):
        raise UnusableHomeError(f"the data folder's path must have no blanks and quotes: {home}. Set PCO_SYNC_HOME")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableHomeError(f"cannot create the data folder {home} ({error.strerror}). Set PCO_SYNC_HOME") from None
    return home
