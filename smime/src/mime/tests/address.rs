use super::super::address::list;

#[test]
fn addresses_are_taken_out_of_every_shape() {
    let cases: [(&str, &[&str]); 25] = [
        ("", &[]),
        ("alice@example.org", &["alice@example.org"]),
        ("  <alice@example.org> ", &["alice@example.org"]),
        ("Alice <alice@example.org>", &["alice@example.org"]),
        (
            "Alice B. Carroll <alice@example.org>",
            &["alice@example.org"],
        ),
        (
            "\"Carroll, Alice\" <alice@example.org>",
            &["alice@example.org"],
        ),
        (
            "=?utf-8?q?Alice_=3Cmallory=40example=2Eorg=3E?= <alice@example.org>",
            &["alice@example.org"],
        ),
        ("alice@example.org (Alice)", &["alice@example.org"]),
        ("alice(one)@(two)example.org", &["alice@example.org"]),
        ("alice @ example . org", &["alice@example.org"]),
        (
            "(a (nested \\) <x@y> comment)) alice@example.org",
            &["alice@example.org"],
        ),
        (
            "a@x.example, B <b@x.example>,, c@x.example",
            &["a@x.example", "b@x.example", "c@x.example"],
        ),
        (
            "Team: a@x.example, B <b@x.example>;, c@x.example",
            &["a@x.example", "b@x.example", "c@x.example"],
        ),
        ("undisclosed-recipients:;", &[]),
        (
            "<@relay.example,@other.example:alice@example.org>",
            &["alice@example.org"],
        ),
        ("\"alice\"@example.org", &["alice@example.org"]),
        ("\"al ice\"@example.org", &["\"al ice\"@example.org"]),
        ("\"a\\\"b@c\"@example.org", &["\"a\\\"b@c\"@example.org"]),
        ("alice@[192.0.2.1]", &["alice@[192.0.2.1]"]),
        ("jörg@exämple.org", &["jörg@exämple.org"]),
        ("a.b+c@sub.example.org", &["a.b+c@sub.example.org"]),
        ("\r\n alice@example.org\r\n", &["alice@example.org"]),
        // a display name that looks like an address is a display name
        (
            "\"alice@example.org\" <mallory@evil.example>",
            &["mallory@evil.example"],
        ),
        (
            "alice@example.org <mallory@evil.example>",
            &["mallory@evil.example"],
        ),
        (
            "(alice@example.org) mallory@evil.example",
            &["mallory@evil.example"],
        ),
    ];
    for (field, expected) in cases {
        assert_eq!(list(field), expected, "{field:?}");
    }
}

#[test]
fn what_is_no_address_equals_none() {
    for field in [
        "alice@example.org mallory@evil.example",
        "alice@example.org <mallory@evil.example> x",
        "<alice@example.org><mallory@evil.example>",
        "<alice@example.org> <mallory@evil.example>",
        "<mallory@evil.example> alice@example.org",
        "x <<alice@example.org>>",
        "x <alice@example.org",
        "alice@example.org>",
        "alice@example.org@evil.example",
        "alice@example.org.",
        ".alice@example.org",
        "alice..b@example.org",
        "alice@",
        "@example.org",
        "alice@example.org\u{0}",
        "alice@\"example.org\"",
        "root",
        "\"alice@example.org\"",
        "alice@example.org\u{b}x",
        "<>",
        "alice@example.org:",
    ] {
        let all = list(field);
        let harmless = all
            .iter()
            .all(|a| a != "alice@example.org" && a != "mallory@evil.example");
        assert!(harmless, "{field:?}: {all:?}");
        assert!(
            !all.is_empty() || field.ends_with(':'),
            "{field:?} looks like no sender at all"
        );
    }
}
