"""A church's night: how much of its budget goes to which kind of lists below parents, and what is left waiting.

Enter by `night.plan_night` and `night.look_at_waiting`. Which lists those are is chosen by each kind's own fan-out
(`tasks.fan_out.from_mirror`), by the same order. Nothing here sends a request.
"""
