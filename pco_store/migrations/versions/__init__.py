"""One file per migration; what a migration creates is frozen in it."""
