"""The words that invented values are made of. Nobody real is called like this."""

from typing import Any, Final

FIRST_NAMES: Final = (
    "Ada", "Ben", "Chloë", "Dai", "Esi", "Finn", "Gül", "Hana", "Ivo", "Jin", "Kofi", "Lea", "Mika", "Noa", "Örjan",
    "D'Arcy", "Zoë", "José", "Ngọc", "Анна", "美咲", "Mary Jo", "anouk",
)  # fmt: skip
LAST_NAMES: Final = (
    "Example", "Sample", "Testa", "Muster", "Prøve", "Exemple", "Vzor", "Minta", "O'Sample", "van der Demo", "Пример",
    "例", "Demo-Test", "Placeholder", "sample",
)  # fmt: skip
CITIES: Final = ("Sandbox", "Placeholder Falls", "Fixture", "Lorem", "Saint Specimen", "Prøveby")
STREETS: Final = ("Sandbox Street", "Placeholder Avenue", "Lorem Lane", "“Quoted” Road", "Fixture & Sons Yard")
SENTENCES: Final = (
    "Meets weekly.",
    "A first line.\nA second line, with a tab\there.",
    'Text with "quotes", a back\\slash and <b>markup</b>.',
    "Emoji 🎉 and combining é.",
)

CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "country": ("US", "CA", "GB"),
    "country_code": ("US", "CA", "GB"),
    "state": ("CA", "TX", "OR", "NY"),
    "time_zone": ("America/Los_Angeles", "America/New_York", "Europe/London"),
    "gender": ("Female", "Male"),
    "grade": tuple(range(-1, 13)),
    "graduation_year": tuple(range(2027, 2040)),
    "membership": ("Member", "Regular attender", "Visitor"),
    "school_type": ("elementary", "middle", "high"),
    "people_permissions": ("Viewer", "Editor", "Manager"),
    "directory_status": ("no_access", "viewer", "contributor"),
    "location": ("Home", "Work", "Other"),
    "carrier": ("Example Mobile", "Sample Wireless"),
    "role": ("member", "member", "member", "leader"),
    "events_visibility": ("public", "members"),
    "location_type_preference": ("physical", "virtual"),
    "schedule": ("Weekly on Sunday @ 9am", "Every other Tuesday @ 7pm"),
    "color": ("#3d8bd4", "#d4583d", "#6b8e23"),
    "date_format": (1, 2),
    "payment_method": ("ach", "card", "cash", "check"),
    "currency": ("USD",),
}
"""By the name of the attribute; what occurs twice is more likely."""
