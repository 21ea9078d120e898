"""One page, from request to commit, and the list it belongs to.

Enter by `run_walk` (a run's whole list) or `apply_page` (one page, exactly once). `collection` keeps pages in flight,
`isolation` halves a page that cannot be read, `replanning` reads a list in other parts. The walk decides what is read
next (`pco_walks`). Nothing here starts flow runs or decides about deletions.
"""
