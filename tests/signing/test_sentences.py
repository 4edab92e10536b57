"""What is said of signatures, tokens and names that are not taken: whole sentences, and the edges of their forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_archive.errors import KeyRefusedError, SelectionError
from mlflow_archive.format.location import archive_place
from mlflow_archive.signing.der import (
    BIT_STRING,
    CONTEXT_0,
    INTEGER,
    NULL,
    OCTET_STRING,
    SEQUENCE,
    SET,
    field,
    fields,
    inside,
    leading,
    object_identifier,
)
from mlflow_archive.signing.folder import (
    MAX_SIZE,
    read_file,
    read_folder,
    signature_files,
    signatures_folder,
    signer_name,
)
from mlflow_archive.signing.making import _read_signature, _signed, _stamp
from mlflow_archive.signing.sshsig import MAX_SIZE as MAX_SIGNATURE
from mlflow_archive.signing.sshsig import armoured, parse_signature
from mlflow_archive.signing.tokens import parse_token
from mlflow_archive.storage.files import Files
from tests.signing.test_sshsig import GOOD, blob, text
from tests.signing.test_tokens import PARTS, TOKEN, with_signer

FORM = "it is no signature as ssh-keygen writes one: its first or last line differs"
OTHER_END = "a field of it ends elsewhere than it says"


def refusal_of(call: Callable[..., object], *values: object) -> str:
    """Return why something is refused, word for word."""
    try:
        call(*values)
    except ValueError as error:
        return str(error)
    return pytest.fail("it is taken")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", FORM),
        (GOOD[:-1], FORM),
        (GOOD[1:], FORM),
        (armoured(blob(namespace=bytes(70_000))), FORM),
        (GOOD[:60] + b"\n" + GOOD[60:], "its text is not as ssh-keygen writes it"),
        (armoured(blob(magic=b"SSHSIG\0\0\0\2")), "its blob does not begin with SSHSIG and version 1"),
        (armoured(blob(magic=b"SSHSIH\0\0\0\1")), "its blob does not begin with SSHSIG and version 1"),
        (armoured(blob(reserved=b"x")), "its reserved field is not empty"),
        (armoured(blob(hash_name=b"md5")), "its hash is b'md5', expected sha256 or sha512"),
        (armoured(blob(algorithm=b"rsa-sha2-256")), "its algorithm b'rsa-sha2-256' is not one of its key, ssh-ed25519"),
        (armoured(blob(key=text(b"ssh-dss", b"x"))), "its key is of the type b'ssh-dss', which is not known"),
        (armoured(blob(key=text(b"ssh-ed25519"))), OTHER_END),
        (armoured(blob(key=text(b"ssh-ed25519", b"x", b"y"))), OTHER_END),
        (armoured(blob(key=b"")), OTHER_END),
        (armoured(blob() + b"x"), OTHER_END),
        (armoured(blob()[:-1]), OTHER_END),
        (armoured(blob() + text(b"")), OTHER_END),
        (armoured(b"SSHSIG\0\0\0\1"), OTHER_END),
    ],
)
def test_why_a_signature_is_none(data: bytes, sentence: str) -> None:
    assert refusal_of(parse_signature, data) == sentence


def test_text_that_is_no_base64_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match=r"^its text is no base64: \S"):
        parse_signature(GOOD[:40] + b"*" + GOOD[41:])


@pytest.mark.parametrize("hash_name", [b"sha256", b"sha512"])
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (text(b"ssh-rsa", b"e", b"n"), b"rsa-sha2-256"),
        (text(b"ssh-rsa", b"e", b"n"), b"rsa-sha2-512"),
        (text(b"ecdsa-sha2-nistp521", b"nistp521", b"q"), b"ecdsa-sha2-nistp521"),
        (text(b"sk-ssh-ed25519@openssh.com", b"k", b"ssh:"), b"sk-ssh-ed25519@openssh.com"),
        (
            text(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"q", b"ssh:"),
            b"sk-ecdsa-sha2-nistp256@openssh.com",
        ),
    ],
)
def test_keys_of_all_kinds_sign_by_their_algorithms_over_two_hashes(
    key: bytes, algorithm: bytes, hash_name: bytes
) -> None:
    signature = parse_signature(armoured(blob(key=key, algorithm=algorithm, hash_name=hash_name)))
    assert signature.key_type == algorithm.decode().replace("rsa-sha2-256", "ssh-rsa").replace(
        "rsa-sha2-512", "ssh-rsa"
    )
    assert signature.namespace == "mlflow-archive"
    with pytest.raises(ValueError, match="is not one of its key"):
        parse_signature(armoured(blob(key=key, algorithm=b"ssh-rsa", hash_name=hash_name)))


@pytest.mark.parametrize(
    ("certified", "plain"),
    [
        (
            text(b"ssh-ed25519-cert-v01@openssh.com", b"nonce", b"k", bytes(8), b"more"),
            text(b"ssh-ed25519", b"k"),
        ),
        (text(b"ssh-rsa-cert-v01@openssh.com", b"nonce", b"e", b"n", b"more"), text(b"ssh-rsa", b"e", b"n")),
        (
            text(b"sk-ssh-ed25519-cert-v01@openssh.com", b"nonce", b"k", b"ssh:", b"more"),
            text(b"sk-ssh-ed25519@openssh.com", b"k", b"ssh:"),
        ),
    ],
)
def test_a_certificate_is_known_by_the_key_that_it_is_about(certified: bytes, plain: bytes) -> None:
    name = plain[4 : 4 + int.from_bytes(plain[:4])]
    algorithm = b"rsa-sha2-512" if name == b"ssh-rsa" else name
    expected = parse_signature(armoured(blob(key=plain, algorithm=algorithm)))
    assert parse_signature(armoured(blob(key=certified, algorithm=algorithm))) == expected
    assert expected.key_type == name.decode()


def test_a_signature_may_be_as_large_as_the_limit_and_states_any_namespace() -> None:
    line = b"A" * 70 + b"\n"
    assert armoured(bytes(105)) == b"-----BEGIN SSH SIGNATURE-----\n" + 2 * line + b"-----END SSH SIGNATURE-----\n"
    size = 48_414 - len(blob(namespace=b""))
    assert len(armoured(bytes(48_414))) <= MAX_SIGNATURE < len(armoured(bytes(48_415)))
    assert parse_signature(armoured(blob(namespace=b"n" * size))).namespace == "n" * size
    assert refusal_of(parse_signature, armoured(blob(namespace=b"n" * (size + 1)))) == FORM
    assert parse_signature(armoured(blob(namespace=b"\xff"))).namespace == "\ufffd"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is no answer of a time-stamp authority"),
        (field(SET), "it is no answer of a time-stamp authority"),
        (TOKEN[:-1], "it is not in DER at byte 0"),
        (field(NULL) + b"\x1f\x01\0", "it is not in DER at byte 2"),
        (TOKEN + field(NULL), "it holds more than the authority's signature covers, or holds it in another form"),
        (b"\x30\x83\0" + TOKEN[2:], "it has a length that is not in DER at byte 1"),
        (
            replace(PARTS, information=field(SEQUENCE, object_identifier("1.2.3"), field(CONTEXT_0))).answer(),
            "what is signed is no time-stamp",
        ),
        (field(SEQUENCE, PARTS.status), "it has fields of the tags [48] where [48, 48] should be"),
        (replace(PARTS, kind=object_identifier("1.2.840.113549.1.7.1")).answer(), "it holds no signed data"),
        (replace(PARTS, signers=()).answer(), "it has fields of the tags [] where one of 48 should be"),
        (
            replace(PARTS, signers=PARTS.signers * 2).answer(),
            "it has fields of the tags [48, 48] where one of 48 should be",
        ),
        (
            with_signer(number=2, value=field(SEQUENCE, object_identifier("1.3.14.3.2.26"))).answer(),
            "it is signed over another hash than SHA-256, -384 or -512",
        ),
        (
            with_signer(number=4, value=field(SEQUENCE, object_identifier("1.2.840.113549.1.1.12"))).answer(),
            "its signature is none of RSA or ECDSA over sha256",
        ),
        (
            with_signer(number=3, value=field(CONTEXT_0)).answer(),
            "what is signed does not name the authority's certificate by its hash",
        ),
    ],
)
def test_why_a_token_is_none(data: bytes, sentence: str) -> None:
    assert refusal_of(parse_token, data) == sentence


def parts(certificate: bytes) -> list[bytes]:
    return [part.encoded for part in fields(fields(certificate)[0].content)]


def test_certificates_whose_numbers_or_parts_are_not_as_they_must_be() -> None:
    [certificate] = PARTS.certificates
    contents, algorithm, signature = parts(certificate)
    more = "a certificate in it has more than its signature covers"
    number = "a certificate in it has a number that is not above zero"
    version, old, *rest = (part.encoded for part in fields(fields(contents)[0].content))

    def numbered(content: bytes, tag: int = INTEGER) -> bytes:
        return field(SEQUENCE, field(SEQUENCE, version, field(tag, content), *rest), algorithm, signature)

    for wrong, sentence in (
        (field(SEQUENCE, contents, algorithm, signature, field(NULL)), more),
        (field(SEQUENCE, contents, algorithm, field(BIT_STRING, b"\1" + fields(signature)[0].content[1:])), more),
        (numbered(b"\0"), number),
        (numbered(b"\0\0"), number),
        (numbered(b""), number),
        (numbered(b"\x80"), number),
        (numbered(b"\1", OCTET_STRING), number),
    ):
        assert refusal_of(parse_token, replace(PARTS, certificates=(wrong,)).answer()) == sentence
    for other in (b"\1", b"\x7f", b" \n"):  # another one's, which is left out
        with pytest.raises(ValueError, match="more than the authority's signature covers"):
            parse_token(replace(PARTS, certificates=(certificate, numbered(other))).answer())
    assert old[0] == INTEGER


def test_fields_one_below_the_other_and_identifiers() -> None:
    outer = fields(field(SEQUENCE, field(INTEGER, b"\1"), field(NULL)))[0]
    assert [part.tag for part in leading(outer, INTEGER, NULL)] == [INTEGER, NULL]
    for call, sentence in (
        (lambda: inside(outer, INTEGER), "it has fields of the tags [2, 5] where one of 2 should be"),
        (lambda: leading(outer, NULL), "it has fields of the tags [2] where [5] should be"),
        (lambda: leading(outer, INTEGER, NULL, SET), "it has fields of the tags [2, 5] where [2, 5, 49] should be"),
        (lambda: fields(b"\2\1\0\x02"), "it has a length that is not in DER at byte 4"),
        (lambda: fields(b"\x02\x02\0"), "it is not in DER at byte 0"),
        (lambda: fields(b"\2\1\0\x1f\0"), "it is not in DER at byte 3"),
        (lambda: fields(b"\x30\x81\x7f" + bytes(127)), "it has a length that is not in DER at byte 1"),
        (lambda: fields(b"\x30\x82\x01"), "it has a length that is not in DER at byte 1"),
    ):
        assert refusal_of(call) == sentence
    assert [object_identifier(text).hex() for text in ("0.0", "1.2.127", "1.2.128", "2.999.16384")] == [
        "060100",
        "06022a7f",
        "06032a8100",
        "0605883781" + "8000",
    ]
    for size, head in ((127, "307f"), (128, "308180"), (255, "3081ff"), (256, "30820100"), (65_535, "3082ffff")):
        assert field(SEQUENCE, bytes(size))[: len(head) // 2].hex() == head


def test_what_is_said_of_folders_names_and_large_files(tmp_path: Path) -> None:
    with pytest.raises(SelectionError) as bucket:
        signatures_folder(archive_place("s3://bucket/a"))
    assert str(bucket.value) == (
        "s3://bucket/a: signatures are made and checked beside an archive on this machine; download both first"
    )
    with pytest.raises(SelectionError) as name:
        signer_name("ada-2")
    assert str(name.value) == (
        "'ada-2' cannot be the name of a signer: it is 1 to 100 of A-Z a-z 0-9 . _ @ + -, begins with a letter or "
        "digit and does not end in - and a number; give --signer NAME, as it stands in allowed_signers"
    )
    (tmp_path / "file").write_bytes(bytes(MAX_SIZE + 2))
    with pytest.raises(SelectionError) as folder:
        read_folder(tmp_path / "file")
    assert str(folder.value) == f"{tmp_path / 'file'} is no folder; the signatures of an archive lie in one"
    assert refusal_of(read_file, tmp_path / "file") == f"it has more than {MAX_SIZE} bytes"
    assert signature_files(tmp_path, 12_345, "a").path == tmp_path / "12345-a.sig"
    assert signature_files(tmp_path, 7, "a").path == tmp_path / "0007-a.sig"


def test_a_damaged_signature_or_a_missing_token_is_not_stamped_again(tmp_path: Path) -> None:
    files = signature_files(tmp_path, 1, "ada")
    files.path.write_bytes(b"text")
    with pytest.raises(KeyRefusedError) as damaged:
        _read_signature(files.path)
    assert str(damaged.value) == f"{files.path} is damaged: {FORM}; move it away and sign again"
    files.path.write_bytes(GOOD)
    assert _read_signature(files.path) == GOOD
    for numbers in ((2,), (1, 3)):
        files.tokens.clear()
        files.tokens.update({number: files.token_path(number) for number in numbers})
        with pytest.raises(KeyRefusedError) as missing:
            _stamp(files, lambda _: pytest.fail("nobody is asked"), Files())
        names = ", ".join(files.token_path(number).name for number in numbers)
        assert str(missing.value) == f"{files.path}: of its tokens one is missing: {names}"
    files.tokens.update({10: tmp_path / "ten", 2: tmp_path / "two"})
    signed = _signed(files, [files.path])
    assert [path.name for path in signed.tokens] == ["0001-ada.tsr", "two", "0001-ada-3.tsr", "ten"]
    assert (signed.export, signed.signer, signed.path, signed.written) == (1, "ada", files.path, (files.path,))
    assert signed.fingerprint == parse_signature(GOOD).fingerprint
