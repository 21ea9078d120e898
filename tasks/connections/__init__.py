"""Reads a church by OAuth: which token its requests are signed with, and who renews the pair when it is due.

Enter by `oauth_credential.py`, whose credential `PcoClient` asks before each request. A pair is renewed in
`renewing.py` and nowhere else; no other step ever posts a refresh token. `looking_after.py` is for those that nothing
reads.
"""
