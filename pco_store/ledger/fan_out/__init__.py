"""A fan-out and its children: one list below each parent, each a run of its own.

Enter by `children` (inserted with the page of their parent, claimed, ended), `submissions` (which of them become flow
runs next) and `fan_outs` (the whole: how far it is, when it is done). Nothing here starts a flow run or waits for one.
"""
