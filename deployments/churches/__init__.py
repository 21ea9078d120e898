"""What is done to a church as a whole: list, add, rename, pause, remove; and roles that read one.

Enter by the function that a command calls. Holds no SQL, and shows no secret.
"""
