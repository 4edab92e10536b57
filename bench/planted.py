"""Lines with secrets in them, and lines that only look as if: what a scan is measured with.

There are two sets. ``TUNING`` was at hand while the patterns were written; ``HELD_OUT`` has other forms and another
seed, and was written before it was first tried. Nothing in them is real.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from typing import Final
from uuid import UUID

Draw = Callable[[random.Random], str]

_LETTERS: Final = string.ascii_letters + string.digits


def _word(letters: str, length: int) -> Draw:
    return lambda chance: "".join(chance.choices(letters, k=length))


def password(chance: random.Random) -> str:
    """Return a password of 10 to 16 letters, with at least one digit and one sign."""
    drawn = chance.choices(_LETTERS, k=chance.randint(8, 14))
    return "".join(drawn) + chance.choice("!#%+-_.") + chance.choice(string.digits)


def iban(chance: random.Random, country: str, length: int) -> str:
    """Return an IBAN with right check digits."""
    account = "".join(chance.choices(string.digits, k=length - 4))
    number = int("".join(str(int(letter, 36)) for letter in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def card(chance: random.Random, beginning: str, length: int) -> str:
    """Return a card number with the right check digit."""
    digits = beginning + "".join(chance.choices(string.digits, k=length - len(beginning) - 1))
    doubled = [int(digit) * (2 - at % 2) for at, digit in enumerate(reversed(digits))]
    total = sum(number - 9 if number > 9 else number for number in doubled)
    return f"{digits}{-total % 10}"


def _spaced(text: str, sign: str = " ") -> str:
    return sign.join(text[at : at + 4] for at in range(0, len(text), 4))


def _jwt(chance: random.Random) -> str:
    parts = (json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps({"sub": _word(string.digits, 10)(chance)}))
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, _word(_LETTERS, 43)(chance)])


_HEX: Final = string.digits + "abcdef"
_UPPER: Final = string.ascii_uppercase + string.digits

TUNING: Final[dict[str, Draw]] = {
    "AWS": lambda c: f"AWS_ACCESS_KEY_ID=AKIA{_word(_UPPER, 16)(c)}",
    "GitHub": lambda c: f"clone https://x-access-token:ghp_{_word(_LETTERS, 36)(c)}@github.com/o/r",
    "GitHub fine-grained": lambda c: f"token github_pat_{_word(_LETTERS, 82)(c)} given",
    "Anthropic": lambda c: f"ANTHROPIC_API_KEY=sk-ant-api03-{_word(_LETTERS, 93)(c)}",
    "OpenAI": lambda c: f"openai.api_key = 'sk-{_word(_LETTERS, 48)(c)}'",
    "Google": lambda c: f"https://maps.example/?key=AIza{_word(_LETTERS, 35)(c)}",
    "Hugging Face": lambda c: f"login hf_{_word(_LETTERS, 34)(c)}",
    "Databricks": lambda c: f"DATABRICKS_TOKEN dapi{_word(_HEX, 32)(c)}",
    "password in YAML": lambda c: f"password: {password(c)}",
    "password in Python": lambda c: f'conn = connect(user="ml", password="{password(c)}")',
    "password in JSON": lambda c: json.dumps({"db_password": password(c)}),
    "URI": lambda c: f"postgresql://ml:{_word(_LETTERS, 12)(c)}@db.bank.example/mlflow",
    "JWT": lambda c: f"Authorization: Bearer {_jwt(c)}",
    "e-mail": lambda c: (
        f"trained by {_word(string.ascii_lowercase, 6)(c)}.{_word(string.ascii_lowercase, 7)(c)}@bank.example"
    ),
    "IBAN": lambda c: f"account {_spaced(iban(c, 'DE', 22))}",
    "card": lambda c: f"paid with {_spaced(card(c, '4', 16))}",
}
HELD_OUT: Final[dict[str, Draw]] = {
    "AWS temporary": lambda c: json.dumps({"AccessKeyId": f"ASIA{_word(_UPPER, 16)(c)}"}),
    "AWS secret in a file": lambda c: f"aws_secret_access_key = {_word(_LETTERS + '/+', 40)(c)}",
    "GitHub app": lambda c: f"export GH={'ghs_' + _word(_LETTERS, 36)(c)}",
    "GitLab": lambda c: f"glpat-{_word(_LETTERS, 20)(c)}",
    "Slack": lambda c: (
        f"notify xoxb-{_word(string.digits, 12)(c)}-{_word(string.digits, 12)(c)}-{_word(_LETTERS, 24)(c)}"
    ),
    "Stripe": lambda c: f"charge(sk_live_{_word(_LETTERS, 24)(c)})",
    "SendGrid": lambda c: f"SG.{_word(_LETTERS, 22)(c)}.{_word(_LETTERS, 43)(c)}",
    "PyPI": lambda c: f"twine -p pypi-AgEIcHlwaS5vcmc{_word(_LETTERS, 90)(c)}",
    "npm": lambda c: f"//registry.example/:_authToken=npm_{_word(_LETTERS, 36)(c)}",
    "Azure storage": lambda c: f"AccountName=ml;AccountKey={_word(_LETTERS, 86)(c)}==;EndpointSuffix=core",
    "OpenAI project": lambda c: f"key=sk-proj-{_word(_LETTERS + '_-', 100)(c)}x",
    "private key": lambda c: "-----BEGIN OPENSSH PRIVATE KEY-----",
    "W&B in the environment": lambda c: f"WANDB_API_KEY={_word(_HEX, 40)(c)}",
    "client secret": lambda c: f'"clientSecret" : "{_word(_LETTERS + "~._", 34)(c)}"',
    "properties": lambda c: f"spring.datasource.password={password(c)}",
    "escaped JSON": lambda c: json.dumps({"content": json.dumps({"api_key": _word(_LETTERS, 32)(c)})}),
    "Python dict": lambda c: f"{{'host': 'db', 'passwd': '{password(c)}'}}",
    "command": lambda c: f"mysqldump --user=root --password={password(c)} mlflow",
    "curl": lambda c: f'curl -H "authorization: bearer {_word(_LETTERS, 40)(c)}" https://api.example/v1',
    "broker URI": lambda c: f"amqp://svc-ml:{_word(_LETTERS, 18)(c)}@10.1.2.3:5672/jobs",
    "basic auth": lambda c: f"Authorization: Basic {base64.b64encode(f'ml:{password(c)}'.encode()).decode()}",
    "e-mail with a plus": lambda c: f"<{_word(string.ascii_lowercase, 5)(c)}+ml@dept.university.example>",
    "e-mail in JSON": lambda c: json.dumps(
        {"mail": f"{_word(string.ascii_lowercase, 8)(c)}_1@firma-{c.randint(1, 99)}.co.at"}
    ),
    "IBAN compact": lambda c: f"iban={iban(c, 'AT', 20)};",
    "IBAN French": lambda c: f"virement {_spaced(iban(c, 'FR', 27))}",
    "Mastercard": lambda c: f'"pan":"{card(c, "53", 16)}"',
    "American Express": lambda c: f"amex {card(c, '37', 15)} ok",
    "card with dashes": lambda c: f"card {_spaced(card(c, '6011', 16), '-')}.",
}
NOISE: Final[dict[str, Draw]] = {
    "run id": lambda c: f"run_id = '{_word(_HEX, 32)(c)}'",
    "SHA-256": lambda c: f'digest: "{_word(_HEX, 64)(c)}"',
    "UUID": lambda c: f"input_uuid {UUID(int=c.getrandbits(128), version=4)}",
    "experiment id": lambda c: f"experiment_id: {c.randint(10**17, 10**18 - 1)}",
    "nanoseconds": lambda c: f'"start_time_unix_nano": {c.randint(16 * 10**17, 18 * 10**17)}',
    "metric": lambda c: f"loss={c.random()!r} val_auc={c.random()!r}",
    "tokens": lambda c: f"prompt tokens: {c.randint(1, 9999)}, max_tokens={c.randint(1, 9999)}, pad_token='[PAD]'",
    "tokenizer": lambda c: f"sep_token: </s> eos_token_id={c.randint(1, 99999)} tokenizer=bert-base-{c.randint(1, 9)}",
    "variable": lambda c: "client = Client(token=os.environ['TOKEN'], password=settings.DB_PASSWORD)",
    "placeholder": lambda c: "api_key: ${API_KEY}  secret: <your secret>  password: ********",
    "Git remote": lambda c: f"git@github.com:team/repo-{c.randint(1, 99)}.git at {_word(_HEX, 40)(c)}",
    "requirement": lambda c: f"mlflow=={c.randint(1, 3)}.{c.randint(0, 20)}.0 --hash=sha256:{_word(_HEX, 64)(c)}",
    "base64": lambda c: f"data:image/png;base64,{_word(_LETTERS + '+/', 600)(c)}",
    "S3 URI": lambda c: f"s3://bucket-{c.randint(1, 99)}/mlflow/{c.randint(1, 99)}/{_word(_HEX, 32)(c)}/artifacts",
    "decorator": lambda c: f"@app.route('/x{c.randint(1, 99)}')  # secret sauce: gradient clipping",
    "sentence": lambda c: (
        "The password policy changed; a new access key is needed per user, the token expires at noon."
    ),
}
"""What a store is full of and no secret."""


def log_line(chance: random.Random) -> str:
    """Return a line as a training job logs it."""
    return (
        f"2026-11-0{chance.randint(1, 9)} 12:{chance.randint(10, 59)}:33,{chance.randint(100, 999)} INFO trainer "
        f"step={chance.randint(1, 10**6)} loss={chance.random():.5f} tokens: {chance.randint(1, 9999)} "
        f"run='{_word(_HEX, 32)(chance)}' path=/srv/data/part-{chance.randint(1, 999)}"
    )
