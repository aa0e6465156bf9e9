"""Which addresses and URLs are public, by tables of both kinds."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.config import FetchConfig
from serve.http.problems import HTTPProblem
from serve.intake.addresses import AddressPolicy, is_public, parse_target

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.254", "100.63.255.255", "100.128.0.0",
    "172.15.255.255", "172.32.0.0", "192.0.1.0", "169.253.255.255",
    "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
)  # fmt: skip
NOT_PUBLIC = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "127.0.0.1", "127.1.2.3", "100.64.0.1",
    "100.100.100.200", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "168.63.129.16",
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "2001::1", "2001:10::1", "2001:20::1", "2002:7f00:1::", "2002:808:808::", "3fff::1",
    "100::1", "5f00::1", "4000::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "2606:4700::1111%eth0",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert AddressPolicy().pin([address]) == (str(ipaddress.ip_address(address)),)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(HTTPProblem) as caught:
        AddressPolicy().pin(["1.1.1.1", address])
    assert caught.value.code == "url_refused"
    assert address not in caught.value.detail


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
        assert is_public(inside) == is_public(address)
    if is_public(address):
        assert address.is_global


@given(st.ip_addresses(v=6))
def test_what_python_calls_private_is_never_public(address: ipaddress.IPv6Address) -> None:
    if address.is_private and address.ipv4_mapped is None:
        assert not is_public(address)


def test_networks_may_be_allowed_and_blocked() -> None:
    policy = AddressPolicy.of(
        FetchConfig(allowed_networks=("10.1.0.0/16", "fd00::/8"), blocked_networks=("8.8.8.0/24",))
    )
    assert policy.pin(["10.1.2.3", "fd00::1", "1.1.1.1"]) == ("10.1.2.3", "fd00::1", "1.1.1.1")
    for address in ("10.2.0.1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "127.0.0.1"):
        with pytest.raises(HTTPProblem):
            policy.pin([address])
    both = AddressPolicy.of(
        FetchConfig(allowed_networks=("10.0.0.0/8",), blocked_networks=("10.1.0.0/16",))
    )
    assert both.pin(["10.2.0.1"]) == ("10.2.0.1",)
    with pytest.raises(HTTPProblem):
        both.pin(["10.1.0.1"])


def test_no_address_and_no_number_are_refused() -> None:
    for addresses in ([], ["localhost"], [""], ["1.1.1.1", "x"]):
        with pytest.raises(HTTPProblem):
            AddressPolicy().pin(addresses)
    assert AddressPolicy().pin(["1.1.1.1", "1.1.1.1"]) == ("1.1.1.1",)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://Example.ORG/a/b.mp4?x=1#f", ("https", "example.org", 443, "/a/b.mp4", "x=1")),
        ("https://example.org", ("https", "example.org", 443, "/", "")),
        ("https://example.org./v", ("https", "example.org", 443, "/v", "")),
        ("http://1.2.3.4:80/%2e%2e/a%20b", ("http", "1.2.3.4", 80, "/%2e%2e/a%20b", "")),
        ("https://[2606:4700:0::1111]/", ("https", "2606:4700::1111", 443, "/", "")),
        ("https://xn--bcher-kva.example/", ("https", "xn--bcher-kva.example", 443, "/", "")),
    ],
)
def test_what_a_url_is(url: str, parts: tuple[str, str, int, str, str]) -> None:
    config = FetchConfig(schemes=("http", "https"), ports=(80, 443))
    target = parse_target(url, config)
    assert (target.scheme, target.host, target.port, target.path, target.query) == parts


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "https:", "https://", "https:///x", "//example.org/x", "example.org/x",
        "ftp://example.org/x", "file:///etc/passwd", "data:video/mp4;base64,AAAA",
        "gopher://example.org/", "javascript:alert(1)", "concat:a.mp4|b.mp4", "pipe:0",
        "http://example.org/", "HTTP://example.org/", "hls+https://example.org/",
        "https://user@example.org/", "https://user:pw@example.org/", "https://@example.org/",
        "https://example.org@127.0.0.1/", "https://example.org:pw@[::1]/",
        "https://example.org:22/", "https://example.org:0/", "https://example.org:99999/",
        "https://example.org:-1/", "https://example.org:x/", "https://example.org:80/",
        "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x/",
        "https://017700000001/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/",
        "https://1.2.3.4.5/", "https://256.1.1.1/", "https://01.1.1.1/", "https://1.1.1.1e0./x y",
        "https://example.1/", "https://a.0x1/",
        "https://[::1/", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[v1.a]/",
        "https://[127.0.0.1]/", "https://::1/", "https://[::ffff:1.2.3]/",
        "https://exam ple.org/", "https://example.org\\@127.0.0.1/", "https://exa\tmple.org/",
        "https://example.org/\r\nHost:x", "https://bücher.example/", "https://１２７.0.0.1/",
        "https://example。org/", "https://-a.org/", "https://a..org/", "https://.org/",
        "https://a%2eorg/", "https://127.0.0.1%2f@example.org/", "https://ex*mple.org/",
        "https://example.org/" + "a" * 2100, "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 130 + "org/", "s3://bucket/key",
    ],
)  # fmt: skip
def test_what_is_no_url_for_us(url: str) -> None:
    with pytest.raises(HTTPProblem) as caught:
        parse_target(url, FetchConfig())
    assert (caught.value.status_code, caught.value.code) == (422, "url_refused")
    assert "pw" not in caught.value.detail


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_problem(text: str) -> None:
    config = FetchConfig(schemes=("http", "https"), ports=(80, 443))
    for url in (text, "https://" + text):
        try:
            target = parse_target(url, config)
        except HTTPProblem:
            continue
        assert target.host == target.host.lower()
        assert target.port in (80, 443)
