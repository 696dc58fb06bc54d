"""What a secret looks like: the one table behind `harness.redact`, for names of variables, names of fields and texts.

Every quantifier is bounded and every repetition stops at the first character outside its class, so that hostile model
text costs linear time. A pattern runs only on a text that contains one of its triggers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MASK = "[redacted]"

_VARIABLE = re.compile(
    r"(?:KEYS?|TOKEN|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|AUTHORIZATION|(?<!BY)(?<!COM)(?<!SUR)PASS"
    r"|(?:(?<=_)|^)(?:PATS?|PWD|COOKIE|DSN|SAS|SIG|SIGNATURE|JWT|BEARER|CREDS)|DATABASE_URL|CONNECTION_STRING|WEBHOOK(?:_URL)?)(?:_|\d|$)"
)
_NOT_THE_SECRET = re.compile(
    r"(?<!DATABASE)(?<!WEBHOOK)_(?:FILE|PATH|DIR|SOCK|TYPE|METHOD|MODE|SCHEME|PROVIDER|HOST|PORT|URL|URI|ENDPOINT|ENABLED"
    r"|DISABLED|REQUIRED|USER|USERNAME|NAME|DOMAIN|REALM|AUDIENCE|SCOPE|BACKEND|VERSION)$"
)
"""Of a variable's name: it says where a secret is, or of what kind."""
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})

_FIELD = re.compile(
    r"(?:^|_)(?:api_?keys?|(?:access|private|account|signing|encryption|secret|secret_access|subscription|functions)_?keys?"
    r"|access_?key_?id|jwt|bearer|creds"
    r"|(?:access|auth|api|bearer|refresh|session|security|id|hf|hub|use_auth)_?token|secret|secrets|client_secret"
    r"|passwords?|passwd|passphrase|pass|pwd|credentials?|authorization|auth|pat|cookie|sig|signature)$|^(?:key|token)$"
)


def is_secret_variable(name: str) -> bool:
    """True for the name of an environment variable whose value is to be masked everywhere."""
    name = name.upper()
    return name not in _NO_SECRETS and _VARIABLE.search(name) is not None and _NOT_THE_SECRET.search(name) is None


def is_secret_field(name: str) -> bool:
    """True for the name of an option, a header or a JSON field that holds a secret: `apiKey`, `x-api-key`, `hf_token`.

    `max_tokens`, `eos_token` and `sort_key` hold none.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    return _FIELD.search(re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")) is not None


@dataclass(frozen=True, slots=True)
class Shape:
    """How secrets of one kind stand in a text."""

    triggers: tuple[str, ...]
    """One of these, in small letters, is in every text that holds such a secret, whatever its case there."""
    pattern: re.Pattern[str]
    replacement: str = MASK


def _shape(triggers: str, pattern: str, replacement: str = MASK) -> Shape:
    return Shape(tuple(triggers.split("|")), re.compile(pattern), replacement)


_START = r"(?<![A-Za-z0-9])"
_VALUE = r"(?=[A-Za-z._~+/=-]{0,100}[0-9])[A-Za-z0-9._~+/=-]"
"""First character of a token: a digit further on tells it from a word, "Bearer certificates" or "YOUR_API_KEY"."""

SHAPES: tuple[Shape, ...] = (
    _shape("://", r"://[^\s/?#\"'<>\\]{1,512}@", f"://{MASK}@"),
    _shape("sk-", rf"{_START}sk-(?:[A-Za-z0-9]{{16,300}}|(?=[A-Za-z_-]{{0,300}}[0-9])[A-Za-z0-9_-]{{8,300}})"),
    _shape("hf_", rf"{_START}hf_[A-Za-z0-9]{{16,100}}"),
    _shape("gh|github_pat_", rf"{_START}(?:gh[pousr]_[A-Za-z0-9]{{16,255}}|github_pat_[A-Za-z0-9_]{{16,255}})"),
    _shape("glpat-|pypi-|nvapi-", rf"{_START}(?:glpat|pypi|nvapi)-[A-Za-z0-9_-]{{16,300}}"),
    _shape("gsk_|npm_|r8_", rf"{_START}(?:gsk|npm|r8)_[A-Za-z0-9]{{16,100}}"),
    _shape("xai-|pplx-|csk-", rf"{_START}(?:xai|pplx|csk)-(?=[A-Za-z]{{0,100}}[0-9])[A-Za-z0-9]{{16,200}}"),
    _shape("k_live_|k_test_", rf"{_START}[rs]k_(?:live|test)_[A-Za-z0-9]{{16,200}}"),
    _shape("_v1_", rf"{_START}(?:tgp|dop)_v1_[A-Za-z0-9_-]{{16,200}}"),
    _shape("xox|xapp-", r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,300}"),
    _shape("akia|asia", rf"{_START}A(?:KI|SI)A[0-9A-Z]{{16}}(?![A-Za-z0-9])"),
    _shape("aiza", r"AIza[A-Za-z0-9_-]{30,60}"),
    _shape("ya29.", rf"{_START}ya29\.[A-Za-z0-9._-]{{16,2000}}"),
    _shape("sg.", rf"{_START}SG\.[A-Za-z0-9_-]{{16,100}}\.[A-Za-z0-9_-]{{16,100}}"),
    _shape("eyj", rf"{_START}eyJ[A-Za-z0-9_-]{{8,2000}}\.[A-Za-z0-9_-]{{8,2000}}\.[A-Za-z0-9_-]{{8,1000}}"),
    _shape(
        "private key-----", r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\:,]{16,9000}", rf"\g<1>{MASK}"
    ),
    # A digit or sheer length tells a token from prose such as "Bearer certificates".
    _shape(
        "bearer", rf"((?i:bearer)[ \t]{{1,4}})(?:{_VALUE}{{8,2000}}|[A-Za-z0-9._~+/=-]{{24,2000}})", rf"\g<1>{MASK}"
    ),
    _shape("token ", rf"{_START}(?<!_)((?i:token) {{1,4}}){_VALUE}{{16,2000}}", rf"\g<1>{MASK}"),
    _shape("basic ", r"((?i:basic) )(?=[A-Za-z+/]{0,40}[0-9=])[A-Za-z0-9+/]{12,1000}={0,2}", rf"\g<1>{MASK}"),
    # A header, an assignment or a JSON field, whose quotes may be escaped: "x-api-key: …", \"api_key\": \"…\".
    _shape(
        "api-key|api_key|apikey|authorization|access_token|auth_token|auth-token|client_secret|secret_key|secret-key",
        rf"{_START}((?i:(?:x[-_])?api[-_]?key|authorization|(?:access|(?:x[-_])?auth)[-_]token|client_secret|secret[-_]key)"
        rf"\\{{0,4}}[\"']?[ \t]{{0,4}}[:=][ \t]{{0,4}}(?:\\{{0,4}}[\"'])?){_VALUE}{{8,2000}}",
        rf"\g<1>{MASK}",
    ),
    # A parameter of a URL.
    _shape(
        "key=|token=|secret=|password=|passwd=|sig=|signature=|auth=|credential=|pat=|jwt=",
        r"([?&](?i:[a-z0-9_-]{0,40}(?<![a-z0-9])(?:api|access)?"
        r"(?:key|token|secret|password|passwd|sig|signature|auth|credential|pat|jwt))=)[^&\s\"'<>\\\[]{6,1024}",
        rf"\g<1>{MASK}",
    ),
)
