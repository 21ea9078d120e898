"""What the doctor found out about a church: the table `sync.assumptions`, a row for each assumption and subject.

Enter by `keeping.keep_verdicts`, which replaces the rows of a church, and tells `sync.list_traits` what the choice of
walks and includes must not rely on. Nothing here judges anything, or sends a request.
"""
