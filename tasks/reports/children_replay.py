"""What a replay of a fan-out's children did: its return value, and the line about it."""

from pydantic import BaseModel, ConfigDict

from tasks.reports.counted import there_are


class ChildrenReplay(BaseModel):
    """`revived` children have all their attempts again; `is_continued`: the fan-out was cancelled, or had failed."""

    model_config = ConfigDict(frozen=True)

    key: str
    revived: int
    is_continued: bool

    @property
    def told(self) -> str:
        """In a line."""
        if not self.revived and not self.is_continued:
            return "no child is dead or cancelled: there is nothing to replay"
        children = f"{there_are(self.revived, 'child')} read again"
        return f"{children}; the fan-out itself is continued" if self.is_continued else children
