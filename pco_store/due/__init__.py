"""When each list below a parent was read last, and when it is due: the table `sync.lists`, a row for each list.

Enter by `lists.refresh_lists`, which makes the rows agree with the parents in the mirror, then `choosing`, which says
what is read tonight. `readings` notes what a fan-out has read. Nothing here sends a request or starts a run; the rules
are the catalogue's (`pco_catalog.due_lists`).
"""
