"""`churches`: which churches there are, and the commands for what is done to one as a whole, a file each."""

from cyclopts import App, Parameter

from deployments.commands.churches.add import add
from deployments.commands.churches.pause import pause
from deployments.commands.churches.reader import reader
from deployments.commands.churches.remove import remove
from deployments.commands.churches.rename import rename
from deployments.commands.churches.resume import resume
from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json
from deployments.terminal import terminal

churches = App(
    name="churches",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)
for _command in (add, rename, pause, resume, remove, reader):
    churches.command(_command)


@churches.default
def list_churches(*, json: Json = False) -> int:
    """List the churches: how each is connected, whether schedules sync it, when it was complete, what is wrong."""
    find_servers()
    from deployments.churches.listing import show_churches

    return interrupts.run(show_churches(terminal(as_json=json), as_json=json))
