"""What the commands do, once their command lines are right: each may import Prefect and the store.

Enter by the function that a command calls. Never parses a command line, and holds no SQL.
"""
