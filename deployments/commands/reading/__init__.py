"""Commands that read a church, or say how it is read, what that costs, and whether the copy is complete."""
