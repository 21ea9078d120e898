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
    named = os.environ.get("PCO_SYNC_HOME")
    if named:
        return usable_home(Path(named).expanduser().resolve())
    if os.geteuid() == 0:
        return usable_home(Path("/var/lib/pco-sync"))
    return usable_home(default_home(platformdirs.user_data_path("pco-sync"), Path.home()))


def default_home(place: Path, user_home: Path) -> Path:
    """The system's place for an application's data if the servers can live there, else `~/.pco-sync`.

    On macOS the system's place is `~/Library/Application Support`, and PostgreSQL's settings take no blank in a path.
    """
    return place if _obstacle(place) is None else user_home / ".pco-sync"


def usable_home(home: Path) -> Path:
    """The folder, created and checked. Raises `UnusableHomeError`."""
    obstacle = _obstacle(home)
    if obstacle is not None:
        raise UnusableHomeError(obstacle)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableHomeError(f"cannot create the data folder {home} ({error.strerror}). Set PCO_SYNC_HOME") from None
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise UnusableHomeError(
            f"this user may not write in the data folder {home}, which belongs to {_owner(home)}. Set PCO_SYNC_HOME"
        )
    return home


def _obstacle(home: Path) -> str | None:
    """Why the servers cannot live at this path, whatever lies there; None if they can."""
    length = len(os.fsencode(home / "postgres" / ".s.PGSQL.5432"))
    if length > LONGEST_SOCKET_PATH:
        return (
            f"the data folder's path is too long for PostgreSQL's socket ({length} bytes, {LONGEST_SOCKET_PATH} fit): "
            f"{home}. Set PCO_SYNC_HOME to a shorter one"
        )
    if any(letter.isspace() or letter in "'\"" for letter in str(home)):
        return f"the data folder's path must have no blanks and quotes: {home}. Set PCO_SYNC_HOME"
    return None


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "another user"
