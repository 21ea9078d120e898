"""`demo`: the whole thing from nothing."""


def demo() -> int:
    """Run the main job from nothing, with an invented church."""
    from deployments.demo.demonstration import Demo, demonstrate

    def load() -> Demo:
        from deployments.demo.people import run_demo

        return run_demo

    return demonstrate(load)
