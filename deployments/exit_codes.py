"""What the exit code of every command means; docs/verdicts.md says which verdict gives which."""

from typing import Final

DONE: Final = 0
"""All that was requested is done, and nothing of it is left for a person."""
FAILED: Final = 1
"""It could not be done, or something differs from Planning Center; the last line says what."""
USAGE: Final = 2
"""The command line asks for something that does not exist or cannot be; nothing was done."""
INCOMPLETE: Final = 3
"""Done as far as possible, and something is left for a person, or nobody can tell; the last lines say what."""
INTERRUPTED: Final = 130
"""Ctrl-C, or a signal that asks a process to end."""
