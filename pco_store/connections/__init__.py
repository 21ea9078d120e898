"""OAuth connections: each church's token pair, encrypted, and who may renew it now.

Enter by `connections.py` to read and store one, by `renewal_lock.py` to renew it. Tokens are sealed and opened in
`sealing.py` and nowhere else; nothing here sends a request.
"""
