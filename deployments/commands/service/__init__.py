"""`service`: the servers and the worker as services of the machine, and the commands for that, a file each."""

from cyclopts import App, Parameter

from deployments.commands.service.install import install
from deployments.commands.service.remove import remove
from deployments.commands.service.status import status

service = App(
    name="service",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
for _command in (install, status, remove):
    service.command(_command)
service.default(status)
