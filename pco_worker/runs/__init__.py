"""The life of one flow run in this process: claimed, its code found, run by an engine, stopped, and truly ended.

Enter by `running.Running`. Nothing here looks for work or decides how much of it there may be: the worker does.
"""
