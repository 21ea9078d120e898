"""`completion`: for a shell."""

import sys
from typing import Literal

from deployments.exit_codes import DONE


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script that lets a shell complete our words."""
    from deployments.app import app

    sys.stdout.write(app.generate_completion(shell=shell))
    return DONE
