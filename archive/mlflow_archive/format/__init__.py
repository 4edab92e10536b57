"""The format, pure: bytes and values in, values and bytes out.

No file, no network, no clock and no MLflow below this package. ``spec/`` is the text of what is coded here.
"""
