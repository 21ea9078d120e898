"""The commands, a file each: what it takes, and the words of its help.

`deployments.app` lists them. A command imports Prefect and the store when it runs, so that its help is there at once;
it never does more itself than to call what does the work.
"""
