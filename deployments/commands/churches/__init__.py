"""`churches`: which churches there are, and the commands for what is done to one as a whole, a file each."""

from deployments.commands.churches.add import add
from deployments.commands.churches.pause import pause
from deployments.commands.churches.reader import reader
from deployments.commands.churches.remove import remove
from deployments.commands.churches.rename import rename
from deployments.commands.churches.resume import resume
from deployments.commands.groups import group_of
from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json
from deployments.terminal import terminal

churches = group_of("churches", add, rename, pause, resume, remove, reader)


@churches.default
def list_churches(*, json: Json = False) -> int:
    """List the churches: how each is connected, whether schedules sync it, when it was complete, what is wrong."""
    find_servers()
    from deployments.churches.listing import show_churches

    return interrupts.run(show_churches(terminal(as_json=json), as_json=json))
