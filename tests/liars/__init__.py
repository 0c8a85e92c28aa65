"""Systems that lie, one file each, run for real: the docstring says what lies and how it has to be caught.

A file has `VERDICT` and `CAUGHT_BY` (a pattern that one of the reasons must match), and any of

- `sabotage(cluster)`: spoils what stands, behind the drill's back, once it is steady;
- `topology`: on which it lies; left out, two-region-three-center;
- `body(run)`: the drill's body; left out, a balancer dies that customers don't need, so that the outage is not the point.

`tests/test_liars.py` scans this folder.
"""
