"""Removes what is over: turns with their pages and children, proofs, and what left the quarantine.

Enter by `removing.remove_what_is_over`. `lifetimes` says how long what is kept; `turns` and `rows` have the statements.
Nothing here touches the mirror, sends a request, or knows Prefect: its own rows have lifetimes of the server's.
"""
