"""What a supervisor is given: units and property lists that say what runs, as whom, and how it is stopped."""

import plistlib
import shlex
import shutil
import stat
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from deployments.provisioning.declared import PROJECT
from deployments.service.launchd import Launchd
from deployments.service.programs import (
    SERVERS,
    WORKER,
    kept_environment,
    programs,
    read_settings_file,
    write_settings_file,
)
from deployments.service.systemd import Systemd

OWN_SERVERS = {
    "PREFECT_API_URL": "https://prefect.example.org/api",
    "PCO_SYNC_DATABASE_URL": "postgresql://u:p@db.example.org/pco",
    "PCO_SYNC_REDIS_URL": "redis://redis.example.org",
}


LAUNCHD = {
    "Label": str, "ProgramArguments": list, "WorkingDirectory": str, "EnvironmentVariables": dict, "RunAtLoad": bool,
    "KeepAlive": bool, "ThrottleInterval": int, "ExitTimeOut": int, "StandardOutPath": str, "StandardErrorPath": str,
    "UserName": str,
}  # fmt: skip
"""What launchd.plist(5) calls these, and of which type they are; launchd passes over a name that it does not know."""


def parsed(text: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    return unit


@pytest.mark.parametrize("is_system", [False, True])
def test_the_units_run_our_commands_in_the_checkout_and_start_again(is_system: bool) -> None:
    manager = Systemd(is_system=is_system)
    servers, worker = (parsed(manager.unit(one)) for one in programs({}))
    command = str(Path(sys.executable).with_name("pco-sync"))
    assert shlex.split(servers["Service"]["ExecStart"]) == [command, "up", "--foreground"]
    assert shlex.split(worker["Service"]["ExecStart"]) == [command, "worker"]
    assert servers["Service"]["Type"] == "notify"
    assert worker["Unit"]["After"] in (f"{SERVERS}.service", "network-online.target")
    for unit in (servers, worker):
        assert unit["Service"]["WorkingDirectory"] == str(PROJECT)
        assert unit["Service"]["EnvironmentFile"] == f"-{manager.settings_file}"
        assert unit["Service"]["Restart"] == "always"
        assert unit["Service"].get("User") == (PROJECT.owner() if is_system else None)
        assert unit["Install"]["WantedBy"] == ("multi-user.target" if is_system else "default.target")


@pytest.mark.parametrize("is_system", [False, True])
def test_systemd_finds_nothing_wrong_with_the_units(is_system: bool, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        assert not Path("/run/systemd/system").exists(), "systemd runs here, and systemd-analyze is not installed"
        return  # macOS, or a machine without systemd: the other tests read the units
    manager = Systemd(is_system=is_system)
    paths = []
    for one in programs({}):
        path = tmp_path / f"{one.name}.service"
        path.write_text(manager.unit(one))
        paths.append(str(path))
    done = subprocess.run([program, "verify", "--man=no", *paths], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "pco-sync" in line]
    assert (ours, done.returncode) == ([], 0)


def test_a_path_means_itself_to_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.service.programs.sys.executable", '/opt/50% of "my" $HOME/python')
    unit = Systemd(is_system=False).unit(programs({})[1])
    assert r'ExecStart="/opt/50%% of \"my\" $$HOME/pco-sync" worker' in unit


def test_with_servers_of_ones_own_only_the_worker_runs() -> None:
    assert [one.name for one in programs(OWN_SERVERS)] == [WORKER]
    assert [one.name for one in programs({"PCO_SYNC_DATABASE_URL": "postgresql://x/y"})] == [SERVERS, WORKER]


def test_a_worker_gets_the_time_that_it_gives_its_runs_and_some_more() -> None:
    (worker,) = programs(OWN_SERVERS)
    assert worker.stop_seconds == 30 + 10 + 20
    (patient,) = programs({**OWN_SERVERS, "PCO_WORKER_DRAIN_SECONDS": "600"})
    assert patient.stop_seconds == 600 + 10 + 20
    assert "TimeoutStopSec=630" in Systemd(is_system=False).unit(patient)


@pytest.mark.parametrize("is_system", [False, True])
def test_property_lists_say_the_same_to_launchd(is_system: bool) -> None:
    manager = Launchd(is_system=is_system)
    for one in programs({}):
        told = plistlib.loads(plistlib.dumps(manager.property_list(one, {"PCO_SYNC_CONTACT": "it@example.org"})))
        assert told["ProgramArguments"] == one.command
        assert told["WorkingDirectory"] == str(PROJECT)
        assert (told["RunAtLoad"], told["KeepAlive"]) == (True, True)
        assert told["ExitTimeOut"] == one.stop_seconds
        assert told["EnvironmentVariables"] == {"PCO_SYNC_CONTACT": "it@example.org"}
        assert told.get("UserName") == (PROJECT.owner() if is_system else None)
        assert {name: type(value) for name, value in told.items()}.items() <= LAUNCHD.items()
        assert all(Path(told[name]).is_absolute() for name in ("WorkingDirectory", "StandardOutPath"))
        assert Path(told["ProgramArguments"][0]).is_absolute()


def test_settings_are_kept_for_their_owner_only_and_come_back_as_they_were(tmp_path: Path) -> None:
    settings = {"PCO_SYNC_SECRET": r"""a"b'c\d $e %f #g `h`""", "PCO_SYNC_CONTACT": "it@example.org"}
    file = tmp_path / "below" / "service.env"
    assert read_settings_file(file) == {}
    for _ in range(2):
        write_settings_file(file, settings)
        assert read_settings_file(file) == settings
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_what_is_ours_of_an_environment_is_kept() -> None:
    environment = {**OWN_SERVERS, "HTTPS_PROXY": "http://p", "AWS_SECRET_ACCESS_KEY": "x", "PCO_SYNC_CONTACT": ""}
    assert kept_environment(environment) == {**OWN_SERVERS, "HTTPS_PROXY": "http://p"}
