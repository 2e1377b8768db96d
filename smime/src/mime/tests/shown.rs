use super::super::{address, shown};

#[test]
fn addresses_in_display_names_and_comments_are_seen() {
    let cases: [(&str, &[&str]); 22] = [
        ("", &[]),
        ("alice@example.org", &[]),
        ("Alice <alice@example.org>", &[]),
        ("alice@example.org <alice@example.org>", &[]),
        ("\"Alice@Example.org\" <alice@example.org>", &[]),
        ("'alice@example.org' <alice@example.org>", &[]),
        ("Alice @ Home <alice@example.org>", &[]),
        ("Alice@home <alice@example.org>", &[]),
        ("A <a@x.example>, a@x.example <a@x.example>", &[]),
        ("<@relay.example,@other.example:alice@example.org>", &[]),
        ("alice@[192.0.2.1]", &[]),
        (
            "alice@example.org <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "\"alice@example.org\" <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "\"Alice (alice@example.org).\" <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "(alice@example.org) mallory@evil.example",
            &["alice@example.org"],
        ),
        (
            "=?utf-8?q?Alice_=3Calice=40example=2Eorg=3E?= <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "=?UTF-8?B?YWxpY2VAZXhhbXBsZS5vcmc=?= <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "=?utf-8?q?alice=40exam?= =?utf-8?q?ple.org?= <mallory@evil.example>",
            &["alice@example.org"],
        ),
        (
            "alice\u{ff20}example.org <mallory@evil.example>",
            &["alice@example.org"],
        ),
        ("=?utf-8?x?alice?= =? <mallory@evil.example>", &[]),
        ("=?utf-8?q?50=_=4?= =?a?b?\u{e4}\u{f6}?= <a@x.example>", &[]),
        (
            "a@x.example b@x.example <c@x.example>",
            &["a@x.example", "b@x.example"],
        ),
    ];
    for (field, expected) in cases {
        assert_eq!(
            shown::beside(field, &address::list(field)),
            expected,
            "{field:?}"
        );
    }
}
