"""The command `pco-sync`. Commands and flows are application code, which no wheel holds: see CONTRIBUTING.md."""

import importlib
import os
import sys


def main() -> None:
    """Run the command line of the checkout that this is installed from, or of the folder that one stands in."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        app = importlib.import_module("deployments.app")
    except ModuleNotFoundError as error:
        if error.name not in ("deployments", "deployments.app"):
            raise
        sys.exit("error: pco-sync runs in a checkout or in its image; the wheel alone holds its libraries only")
    app.end(app.main())
