"""Churches as things: what they are called, their removal, and the roles that may read one of them only.

Enter by `names.py`, `removal.py` and `readers.py`. Whoever opens a run or writes without one asks `wall.py` first
whether its church is being removed. Nothing here reads or writes what a record says.
"""
