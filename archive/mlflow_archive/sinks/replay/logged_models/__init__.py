"""Logged models into a target, with what runs say of them: links, metrics, and ids in histories and MLmodel files.

They come after runs, which name them, so ``waiting_references`` and ``model_links`` bring runs up to date in the end.
Imports no other family: what runs have left for it lies in ``writing.waiting``. Start with
``logged_models.LoggedModelWriter``.
"""
