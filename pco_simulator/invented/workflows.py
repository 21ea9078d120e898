"""Whom the simulated church looks after: cards of people in workflows, and the few who are in charge of them."""

from typing import Final

from pco_simulator.invented.invention import Counts, Maker, Others, Stories, Targets

WORKFLOWS: Final = 5
STEPS_OF_A_WORKFLOW: Final = 3
ASSIGNEES: Final = 10
PEOPLE_FOR_A_CARD: Final = 10


def counts(people: int) -> dict[str, int]:
    """How many records there are for so many people: one of ten has a card, each of it one note and one activity.

    The first ones of them are the assignees, who have a summary for each workflow, and in each step.
    """
    cards, assignees = people // PEOPLE_FOR_A_CARD, min(ASSIGNEES, people)
    return {
        "people.Workflow": WORKFLOWS,
        "people.WorkflowStep": WORKFLOWS * STEPS_OF_A_WORKFLOW,
        "people.WorkflowCard": cards,
        "people.WorkflowCardNote": cards,
        "people.WorkflowCardActivity": cards,
        "people.WorkflowAssigneeSummary": assignees,
        "people.WorkflowAssigneeWorkflowSummary": assignees * WORKFLOWS,
        "people.WorkflowStepAssigneeSummary": assignees * WORKFLOWS * STEPS_OF_A_WORKFLOW,
    }


def _workflow(number: int) -> int:
    return number % WORKFLOWS


def _step_of_a_card(card: int) -> int:
    """Steps are numbered as workflows are, round after round."""
    return card // WORKFLOWS % STEPS_OF_A_WORKFLOW * WORKFLOWS + _workflow(card)


def _assignee(number: int) -> int:
    return number // WORKFLOWS % ASSIGNEES


def _workflow_name(others: Others, _: Counts) -> Maker:
    name = others("people.Workflow", "name")
    return lambda number: name(_workflow(number))


MAKERS: Final[Stories] = {
    ("people.WorkflowAssigneeWorkflowSummary", "workflow_name"): _workflow_name,
    ("people.Workflow", "total_steps_count"): lambda *_: lambda number: STEPS_OF_A_WORKFLOW,
}
TARGETS: Final[Targets] = {
    ("people.WorkflowStep", "workflow"): lambda _: _workflow,
    ("people.WorkflowCard", "workflow"): lambda _: _workflow,
    ("people.WorkflowCard", "current_step"): lambda _: _step_of_a_card,
    ("people.WorkflowCard", "person"): lambda _: lambda number: number * PEOPLE_FOR_A_CARD,
    ("people.WorkflowCard", "assignee"): lambda _: _assignee,
    ("people.WorkflowCardNote", "person"): lambda _: lambda number: number * PEOPLE_FOR_A_CARD,
    ("people.WorkflowCardActivity", "person"): lambda _: lambda number: number * PEOPLE_FOR_A_CARD,
    ("people.WorkflowCardActivity", "workflow_step"): lambda _: _step_of_a_card,
    ("people.WorkflowAssigneeSummary", "person"): lambda _: lambda number: number,
    ("people.WorkflowAssigneeWorkflowSummary", "workflow"): lambda _: _workflow,
    ("people.WorkflowAssigneeWorkflowSummary", "person"): lambda _: _assignee,
    ("people.WorkflowStepAssigneeSummary", "person"): lambda _: (
        lambda number: number // (WORKFLOWS * STEPS_OF_A_WORKFLOW)
    ),
}
