"""What the mirror holds, to be compared with Planning Center, and the proofs that came of it.

Enter by `proofs`; `comparable` says which mirrors of a church can be compared. Nothing here reads Planning Center or
changes a row of the mirror.
"""
