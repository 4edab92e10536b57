"""Traces over REST; imports none of the families beside it.

Start at ``traces.plan_traces``: ``trace_records`` and ``assessments`` make rows of a trace, ``spans`` of its payload,
``trace_files`` finds what lies outside of the server's database, ``trace_links`` what it belongs to, and
``cut_values`` what the server's answer has cut.
"""
