"""`python -m deployments.lock`: renews the versions and hashes in `locks/`. Needs uv beside this Python."""

import subprocess
import sys

COMPILE = (
    *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--group=build"),
    *("--generate-hashes", "--no-annotate", "--custom-compile-command=make lock", "--quiet"),
)
"""What finds versions for `pyproject.toml`, and for what builds the project. It names no index."""
_EVERYWHERE = ("--universal", "--python-version=3.11", "--upgrade")
_AS_FOR_TESTS = "--constraints=locks/dev.txt"


def main() -> int:
    """Renew all three, each version the same in all; the exit code of uv, which says what is wrong."""
    for chosen in (
        ["--extra=dev", "--output-file=locks/dev.txt"],
        ["--extra=embedded", _AS_FOR_TESTS, "--output-file=locks/embedded.txt"],
        [_AS_FOR_TESTS, "--output-file=locks/run.txt"],
    ):
        done = subprocess.run([*COMPILE, *_EVERYWHERE, *chosen], stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
