"""Churches as things: what they are called, their removal, and the roles that may read one of them only.

Enter by `names.py`, `removal.py` and `readers.py`. Before a run is opened, or rows are written without one, `wall.py`
checks whether the church is being removed. Nothing here reads or writes what a record says.
"""
