"""Compares a mirror with Planning Center, and never claims more than it compared.

Enter by `proving.prove`. `listing`, `counting` and `whole_list` read Planning Center, `owners` compares what has no
list of its own, `comparison` and `proof` are pure. Nothing here changes the mirror, but `includes` drops what it finds
short.
"""
