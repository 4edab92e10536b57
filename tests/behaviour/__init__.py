"""Whether a change of the code changed what it does: exports and the calls of a replay, before and after.

    python -m tests.behaviour fill DATA                       # once: a server, a file store, a folder of exim's form
    python -m tests.behaviour record DATA BEFORE COMMAND      # with the command mlflow-archive of the old code
    python -m tests.behaviour record DATA AFTER COMMAND       # and with that of the new
    python -m tests.behaviour compare BEFORE AFTER            # ends with 1 if they differ

``make behaviour OLD=COMMAND`` does all of it below ``build/behaviour``. Recordings are text, for ``diff -r``.
"""
