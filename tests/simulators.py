"""The simulator for tests: the same process, forked from one that has imported it already."""

import shutil
import signal
import tempfile
import time
from pathlib import Path

from pco_simulator import testing
from tests.forked_programs import ForkedProgram
from tests.house.project import ROOT


class SimulatorProcess(testing.SimulatorProcess):
    """Started on entry, ended on exit."""

    def _begin(self) -> str:
        self._folder = Path(tempfile.mkdtemp(prefix="pcs-"))
        output, errors = self._folder / "output", self._folder / "errors"
        self._program = ForkedProgram(
            *self._words,
            environment=self._environment,
            folder=ROOT,
            output=output,
            errors=errors,
        )
        while "\n" not in output.read_text() and self._program.poll() is None:
            time.sleep(0.005)
        line = output.read_text()
        if not line:
            told = errors.read_text()
            self._end()
            raise RuntimeError(f"the simulator ended with code {self._program.returncode}: {told}")
        return line

    def _end(self) -> None:
        self._program.send_signal(signal.SIGTERM)
        self._program.wait_or_kill(10)
        shutil.rmtree(self._folder, ignore_errors=True)
