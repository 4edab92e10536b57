"""Traces into a target, under their own ids, with tags, metadata, assessments, links and spans.

``trace_info`` and ``assessments`` plan, ``trace_job`` makes or completes a trace, ``trace_payload`` brings in its
spans: into the target's table where ``otlp`` says that they stay the same (``span_table``), else as a file. What must
wait for issues or deletions is in ``waiting_assessments``. Imports no other family. Start with ``traces.TraceWriter``.
"""
