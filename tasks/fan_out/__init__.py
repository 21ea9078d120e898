"""A child for each parent: submitted as flow runs, claimed, read, and waited for.

Enter by `submitting.submit_more` (the parent's side), `claiming.claim` and `children.run_children` (the child's). The
ledger's rows are the work items; a child that is lost is found by `tasks.recovery`. Nothing here reads parents: that is
a walk like any other.
"""
