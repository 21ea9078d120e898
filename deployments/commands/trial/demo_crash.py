"""`demo-crash`: a worker dies, and nothing is lost."""


def demo_crash() -> int:
    """Kill a worker in the middle of a fan-out, and watch the rest go on."""
    from deployments.demo.demonstration import Demo, demonstrate

    def load() -> Demo:
        from deployments.demo.crash import run_crash_demo

        return run_crash_demo

    return demonstrate(load)
