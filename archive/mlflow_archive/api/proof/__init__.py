"""A proof of a transfer: an archive compared with the server it was imported into.

``prove`` reads the target back through a source into a temporary archive. What each object must be there is planned by
the code of the replay itself (``sinks.replay``), so that there is one rule for what an import writes; what then differs
from the archive is named (``rules``, ``naming``), and only what differs from the plan is a difference. Start at
``proving``; a family says what the target must hold in a module of its own: ``runs``, ….
"""
