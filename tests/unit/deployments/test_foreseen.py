"""Errors that were foreseen: a line each, with the exit code that each one means."""

import errno
import subprocess

import pytest

from deployments.exit_codes import FAILED, USAGE
from deployments.foreseen import foreseen
from deployments.parameters import WrongArgumentError
from embedded.server_process import ServerStartError
from tasks.credentials import UnknownOrganizationError


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "the disk is full (/data/x); free some room", 1),
        (PermissionError(errno.EACCES, "Permission denied", "/data/lock"), "this user may not read or write (/data", 1),
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), "this user may not read or write (/data/x)", 1),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused", 1),
        (
            subprocess.CalledProcessError(2, ["/x/psql", "-c"], stderr="a\nFATAL: no"),
            "psql ended with code 2: FATAL: no",
            1,
        ),
        (subprocess.CalledProcessError(2, ["/x/initdb"]), "initdb ended with code 2: it said nothing", 1),
        (subprocess.TimeoutExpired(["/x/pg_ctl"], 10), "pg_ctl did not end within 10 s", 1),
        (EOFError(), "the input ended; without a terminal set PCO_SYNC_APPLICATION_ID", FAILED),
        (ServerStartError("redis ended with code 1"), "redis ended with code 1", FAILED),
        (WrongArgumentError("no such entity"), "no such entity", USAGE),
        (UnknownOrganizationError("typo", ()), "org_id 'typo': no credentials are known", USAGE),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_a_foreseen_error_is_a_line_and_an_exit_code(error: Exception, told: str, code: int) -> None:
    known = foreseen(error)
    assert known is not None
    assert known[0].startswith(told)
    assert "\n" not in known[0]
    assert known[1] == code


def test_a_defect_is_none_of_them() -> None:
    assert foreseen(KeyError("x")) is None
