"""The demos: a whole church from nothing, and one with a worker that is killed.

Enter by `demonstration.demonstrate`. Never touches a real church.
"""
