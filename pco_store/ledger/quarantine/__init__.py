"""What could not be stored or fetched, kept raw until it fits, or until a later reading of its list has shown it.

Enter by `items` (add, list, resolve) and `superseded` (what a complete reading has settled). Nothing here decides what
does not fit, or tries it again.
"""
