"""Where objects go: which experiment, workspace or run of the target, and whether it can be written to.

``experiments`` settles experiments, ``writable_runs`` keeps runs active until the end, ``routing`` and ``workspaces``
split chunks by workspace. Imports ``target`` and ``writing``, and no family. Start with ``experiments.ExperimentMap``.
"""
