"""The invented church: what exists before anyone changes it, computed when it is asked for.

Enter at `inventor.Inventor`, which makes the records of one kind; `coherence` says where they have to agree, and asks
the files that are named after a part of a church's life. Nothing here remembers a change, or knows of requests.
"""
