"""What `make deploy` makes of an automation that somebody has changed."""

from prefect.events.actions import DoNothing, PauseDeployment
from prefect.events.schemas.automations import AutomationCore

from deployments.provisioning.automations import kept_actions, read_automations

CHOSEN = [PauseDeployment(source="inferred")]


def named(word: str) -> AutomationCore:
    """The automation of the file with this word in its name."""
    (found,) = [one for one in read_automations() if word in one.name]
    return found


def test_the_actions_that_a_person_gave_to_the_alarm_stay() -> None:
    alarm = named("overdue")
    assert kept_actions(alarm, alarm.model_copy(update={"actions": CHOSEN})) == CHOSEN
    assert isinstance(alarm.actions[0], DoNothing)


def test_what_the_file_says_of_dead_runs_is_what_is_done() -> None:
    crash = named("crash")
    assert kept_actions(crash, crash.model_copy(update={"actions": CHOSEN})) == crash.actions
