"""Continues what nobody works on any more, and marks what is dead.

Enter by `sweep.recover`: each abandoned run on its own, with backoff and an end. `signs_of_life` are what a live
process leaves. Nothing here reads a page: it starts flow runs that do.
"""
