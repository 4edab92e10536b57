"""Credentials that detect-secrets does not find: tokens of other services, and whatever is called a password.

A value under a telling name is a credential unless it is plainly none: a number, a placeholder, the name of a variable.
"""

from __future__ import annotations

import re
from typing import Final

from mlflow_archive.redacting.spellings import beginning
from mlflow_archive.scanning.patterns import CREDENTIAL, Pattern

_SHORTEST: Final = 4
_SHORTEST_BARE: Final = 6


def _token(name: str, sign: str, rest: str) -> Pattern:
    return Pattern(
        kind=CREDENTIAL,
        name=name,
        sign=sign,
        regex=re.compile(rf"{beginning('A-Za-z0-9_-')}{sign}{rest}(?![A-Za-z0-9])", re.ASCII),
    )


TOKENS: Final = (
    _token("GitHub fine-grained token", "github_pat_", r"[A-Za-z0-9_]{30,255}"),
    _token("Anthropic key", "sk-ant-", r"[A-Za-z0-9_-]{20,200}"),
    _token("OpenAI key", "sk-", r"(?!ant-)(?:(?:proj|svcacct|admin|or-v1)-[A-Za-z0-9_-]{20,200}|[A-Za-z0-9]{32,64})"),
    _token("Google API key", "AIza", r"[A-Za-z0-9_-]{35}"),
    _token("Google OAuth token", r"ya29\.", r"[A-Za-z0-9_-]{20,300}"),
    _token("Hugging Face token", "hf_", r"[A-Za-z0-9]{30,64}"),
    _token("Databricks token", "dapi", r"[0-9a-f]{32}(?:-[0-9]{1,2})?"),
    _token("Groq key", "gsk_", r"[A-Za-z0-9]{40,64}"),
    _token("Replicate token", "r8_", r"[A-Za-z0-9]{36,44}"),
    _token("DigitalOcean token", "do[op]_v1_", r"[0-9a-f]{64}"),
    _token("Slack app token", "xapp-", r"[0-9]-[A-Z0-9]{6,20}-[0-9]{6,20}-[0-9a-f]{32,80}"),
)
"""Tokens with a beginning of their own."""

_WORDS: Final = (
    r"(?:pass(?:[ _-]?(?:word|wd|phrase|code))?|pwd|secret|api[ _-]?key"
    r"|(?:access|account|private|secret|signing|encryption|auth|storage|shared|master|license)[ _-]?key"
    r"|(?:secret|access)[ _-]?key[ _-]?id|credentials?|token|bearer|conn(?:ection)?[ _-]?str(?:ing)?)"
)
_HARMLESS: Final = re.compile(
    r"(?:^|[^a-z])(?:additional|begin|bos|cls|delimiter|eos|end|first|last|mask|max|min|next|num|number|of|pad|padding|per"
    r"|sep|special|start|stop|suffix|trigger|unk|use|user)[ _-]?tokens?$"
)
"""Tokens that a language model reads and writes."""
_TELLING: Final = re.compile(rf"(?:^|[^a-z]|(?<=db)){_WORDS}[ _-]?[0-9]{{0,2}}$")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

TELLING_SIGN: Final = r"(?i)pass|pwd|secret|key|credential|token|bearer|conn"
"""A sign of what ``is_telling``, for RE2."""


def is_telling(name: str) -> bool:
    """Return whether what has this name is a credential.

    >>> [name for name in ("db.password", "apiKey", "ToKen", "max_tokens", "pad_token", "monkey") if is_telling(name)]
    ['db.password', 'apiKey', 'ToKen']
    """
    name = name.strip()
    forms = (_CAMEL.sub("_", name).lower(), name.lower())  # capitals begin words, or stand anywhere
    return any(_TELLING.search(form) and not _HARMLESS.search(form) for form in forms)


_PLACEHOLDER: Final = re.compile(
    r"none|null|nil|nan|true|false|yes|no|undefined|empty|redacted|masked|hidden|secret|password|passwd|token|string|str"
    r"|int|bool|bytes|optional|required|default|example|unknown|auto|basic|bearer"
    r"|your[ _-].*|<.*>|\{.*\}|\$.*|%.*%|\[.*\]|[*x.#_?-]+|(?:os\.)?(?:environ|getenv).*|env[:.].*|process\.env.*"
    r"|[0-9.,eE+-]+"
    r"|p-[0-9a-f]{32}",  # a pseudonym, which `redact` has put there
    re.IGNORECASE,
)


def is_secret(value: str) -> bool:
    """Return whether a value under a telling name is one that nobody should read.

    >>> [text for text in ("hunter2!", "None", "${DB_PASSWORD}", "0.5", "****") if is_secret(text)]
    ['hunter2!']
    """
    text = value.strip()
    return len(text) >= _SHORTEST and not _PLACEHOLDER.fullmatch(text)


def _is_bare_secret(value: str) -> bool:
    """Return whether a value without quotes is one; mere words may be the name of a variable, a path or a call."""
    return (
        len(value) >= _SHORTEST_BARE
        and is_secret(value)
        and bool(re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value))
        and not re.search(r"[()\[\]]|^(?:self|cls|args|config|cfg|settings|env|os)\.|^[./~]", value)
    )


_CAMEL_PREFIX: Final = r"(?:[a-z][a-z0-9]{0,40}(?-i:(?=[A-Z])))?"
_NAME: Final = rf"{beginning()}(?:[A-Za-z0-9]{{1,40}}[_.-]){{0,4}}?{_CAMEL_PREFIX}{_WORDS}[0-9]{{0,2}}"
_SIGN: Final = rf"(?i){_WORDS}[0-9]{{0,2}}\\?[\"']?(?:\]|\))?[\s\v]{{0,8}}(?:=|:)"

ASSIGNED: Final = (
    Pattern(
        kind=CREDENTIAL,
        name="password or key under a telling name",
        sign=_SIGN,
        regex=re.compile(
            rf"(?i:{_NAME})\\?[\"']?\]?\s{{0,8}}(?:=>|:=|=|:)\s{{0,8}}(?:[bru]{{1,2}})?\\?(?P<quote>[\"'])"
            r"(?P<value>[^\"'\\\n]{4,512})\\?(?P=quote)",
            re.ASCII,
        ),
        value=2,
        accepts=is_secret,
    ),
    Pattern(
        kind=CREDENTIAL,
        name="password or key under a telling name",
        sign=_SIGN,
        regex=re.compile(
            rf"(?i:{_NAME})\\?[\"']?\]?\s{{0,8}}(?:=>|:=|=|:)\s{{0,8}}(?P<value>[^\s\"'\\,;<>{{}}&]{{6,512}})",
            re.ASCII,
        ),
        value=1,
        accepts=_is_bare_secret,
    ),
    Pattern(
        kind=CREDENTIAL,
        name="password of a command",
        sign=r"(?i)--?(?:[a-z-]*-)?(?:password|passwd|token|secret|api-key)[ =]",
        regex=re.compile(
            r"(?i:--?(?:[a-z-]{1,40}-)?(?:password|passwd|token|secret|api-key))[ =]"
            r"([^\s\"'\\,;<>{}$-][^\s\"'\\,;<>{}]{5,512})",
            re.ASCII,
        ),
        value=1,
        accepts=_is_bare_secret,
    ),
    Pattern(
        kind=CREDENTIAL,
        name="header with a credential",
        sign=r"(?i)authorization\\?[\"']?[\s\v]{0,4}[:=]|bearer[\s\v]+[A-Za-z0-9._~+/=-]",
        regex=re.compile(
            r"(?i:authorization\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?(?:bearer|basic|token)|bearer)\s{1,4}"
            r"([A-Za-z0-9._~+/=-]{16,2048})",
            re.ASCII,
        ),
        value=1,
        accepts=_is_bare_secret,
    ),
)
"""Passwords and keys by what stands before them."""
