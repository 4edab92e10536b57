"""The command ``mlflow-archive``: one verb, one file in ``commands``; all work is done by ``mlflow_archive``.

Start with ``main``, which finds the verb and turns errors into exit codes. ``parameters`` and ``selecting`` hold the
options that verbs share, ``output`` the three forms of an answer, ``progress`` what is shown meanwhile. It imports
``mlflow_archive.api``, and the parts of the reader that show an archive.
"""
