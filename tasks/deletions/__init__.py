"""Which records are gone: only what a complete walk did not show, and two 404s confirm.

Enter by `from_a_list.find_deletions` or `below_parents.find_deletions_below`; `absence` requests single records, beside
witnesses. Nothing here marks a row as deleted because a list did not show it.
"""
