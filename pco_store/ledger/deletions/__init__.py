"""What a complete reading did not show, and what Planning Center answered when it was requested alone.

Enter by `missing` (one list) and `missing_below` (a whole fan-out); `answers` keeps what was found out until the run is
settled. Nothing here decides that a record is gone: that is told by the caller, with the answers.
"""
