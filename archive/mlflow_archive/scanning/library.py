"""The patterns of detect-secrets, by its own objects: those of its plugins that know what a credential looks like.

Its guesses by entropy are left out: every run id and every digest is one to them. What it finds by a telling name
depends on the name of a file and on quotes around the value; ``credentials`` does that for texts of every kind. Files
are not given to it: it takes a line for a text of UTF-8, and leaves files out by their names.
"""

from __future__ import annotations

import re
from typing import Final

from mlflow_archive.optional import needing
from mlflow_archive.scanning.patterns import CREDENTIAL, Pattern

_LEFT_OUT: Final = frozenset({"IPPublicDetector"})
"""An address of a machine is no credential."""

_PREFIXED: Final = frozenset({"GitHubTokenDetector", "GitLabTokenDetector"})
"""Whose group is the beginning of a token, where that of others is the value."""

_ASSIGNED: Final = r"(?:key|pwd|pw|password|pass|token)[\"']?\]?[ :=>]+[\"']?"

_SIGNS: Final = {
    "AWSKeyDetector": r"A3T|ABIA|ACCA|AKIA|ASIA|(?i:aws)",
    "ArtifactoryDetector": r"AKC[a-zA-Z0-9]|AP[0-9A-F]",
    "AzureStorageKeyDetector": r"AccountKey=",
    "BasicAuthDetector": r"://[^:/?#\[\]@!$&'()*+,;=\s]+:[^:/?#\[\]@!$&'()*+,;=\s]+@",
    "CloudantDetector": rf"(?i:cl(?:oudant|ou)?[_-]?(?:api)?{_ASSIGNED}|cloudant\.com)",
    "DiscordBotTokenDetector": r"[MNO][a-zA-Z0-9_-]{23}",
    "GitHubTokenDetector": r"gh[pousr]_",
    "GitLabTokenDetector": r"gl[a-z]{2,6}-|GR1348941",
    "IbmCloudIamDetector": rf"(?i:{_ASSIGNED}[a-z0-9_\-\[\]\\^`]{{44}})",
    "IbmCosHmacDetector": rf"(?i:secret[_-]?(?:access)?[_-]?{_ASSIGNED}[a-f0-9]{{48}})",
    "JwtTokenDetector": r"eyJ",
    "MailchimpDetector": r"-us[0-9]",
    "NpmDetector": r"_authToken",
    "OpenAIDetector": r"T3BlbkFJ",
    "PrivateKeyDetector": r"PRIVATE KEY|PuTTY-User",
    "PypiTokenDetector": r"pypi-",
    "SendGridDetector": r"SG\.",
    "SlackDetector": r"(?i:xox|hooks\.slack)",
    "SoftlayerDetector": rf"(?i:(?:sl|softlayer)[_-]?(?:api)?[_-]?{_ASSIGNED}[a-z0-9]{{64}}|api.softlayer.com)",
    "SquareOAuthDetector": r"sq0csp-",
    "StripeDetector": r"k_live_",
    "TelegramBotTokenDetector": r"[0-9]{8}:",
    "TwilioKeyDetector": r"(?:AC|SK)[a-z0-9]{32}",
}
"""By plugin, what its patterns never match without. One that is not here is tried on every text."""


def library_patterns() -> list[Pattern]:
    """Return a pattern for each that a plugin of detect-secrets looks for. Raises MissingExtraError."""
    with needing("scan", "to scan an archive for credentials"):
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415
        from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415
    plugins = get_mapping_from_secret_type_to_class()
    return [
        Pattern(
            kind=CREDENTIAL,
            name=name,
            sign=_SIGNS.get(plugin.__name__, ""),
            regex=re.compile(regex.pattern, regex.flags & ~re.UNICODE | re.ASCII),
            value=1 if regex.groups == 1 and plugin.__name__ not in _PREFIXED else 0,
            apart=True,
        )
        for name, plugin in sorted(plugins.items())
        if issubclass(plugin, RegexBasedDetector) and plugin.__name__ not in _LEFT_OUT
        for regex in plugin().denylist
    ]
