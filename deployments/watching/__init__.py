"""Follows work on the terminal to its end.

Enter by `following.follow`, the only loop that waits, with a look of lists, fan-outs, churches or flow runs. Never
starts work and never ends it.
"""
