"""Where objects go: which experiment, workspace or run of the target, and whether it can be written to.

``experiments`` settles experiments, ``turn`` lets imports of one source take turns, ``routing`` and ``workspaces``
split chunks by workspace. Imports ``target`` and ``writing``, and no family. Start with ``experiments.ExperimentMap``.
"""
