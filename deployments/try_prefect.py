"""`python -m deployments.try_prefect 3.10.0`: the suite with this Prefect, in an environment that is thrown away.

Everything else has its locked version, as far as that Prefect allows it. Nothing of the checkout changes.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deployments.install import OURSELVES
from deployments.lock import COMPILE


def main(version: str) -> int:
    """The exit code of the suite, or of what failed before it."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder, "dev.txt")
        shutil.copy("locks/dev.txt", locked)
        override = Path(folder, "override.txt")
        override.write_text(f"prefect=={version}\n", encoding="utf-8")
        environment = Path(folder, "venv")
        python = str(environment / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in (
            [*COMPILE, "--extra=dev", f"--override={override}", f"--output-file={locked}"],
            [sys.executable, "-m", "venv", str(environment)],
            [*pip, "--require-hashes", f"--requirement={locked}"],
            [*pip, *OURSELVES],
            [python, "-m", "pytest"],
        ):
            output = None if "pytest" in command else subprocess.DEVNULL
            done = subprocess.run(command, stdout=output, check=False)
            if done.returncode:
                break
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
