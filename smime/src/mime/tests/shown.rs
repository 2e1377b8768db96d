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

#[test]
fn an_address_is_seen_whatever_it_is_made_of() {
    let names = [
        "\"ceo\u{200b}@corp.example\"",
        "\"ceo@\u{200b}corp.example\"",
        "\"ceo@corp\u{ad}.example\"",
        "ceo@corp\u{2060}.exam\u{feff}ple",
        "\"ceo@corp\u{3002}example\"",
        "\"ceo@corp\u{ff0e}example\"",
        "\"ceo@corp\u{ff61}example\"",
        "\"ceo@corp\u{2024}example\"",
        "ceo\u{fe6b}corp.example",
        "\u{ff43}eo\u{ff20}corp.example",
        "ceo\u{202e}\u{202c}@corp.example",
        "ceo\u{7}@corp.example",
        "ceo\u{fffd}@corp.example",
        "\"ceo\\@corp.example\"",
        "\"ceo@co\\rp.example\"",
        "ceo@c\u{34f}orp\u{e0041}.example",
        "=?utf-8?B?Y2VvQOKAi2NvcnAuZXhhbXBsZQ==?=",
        "=?utf-8?B?Y2Vv77ygY29ycOOAgmV4YW1wbGU=?=",
        "=?gb2312?B?Y2Vvo8Bjb3Jwo65leGFtcGxl?=",
        "=?iso-2022-jp?B?Y2VvGyRCIXcbKEJjb3JwGyRCISMbKEJleGFtcGxl?=",
        "=?shift_jis?B?Y2VvgZdjb3JwgURleGFtcGxl?=",
        "=?big5?B?Y2Vvokljb3JwoURleGFtcGxl?=",
        "=?utf-7?Q?ceo+AEA-corp.example?=",
        "=?UTF-7?Q?ceo+AEA-corp+AC4-example?=",
        "=?unicode-1-1-utf-7?Q?ceo+/yA-corp.example?=",
        "=?x-unknown?Q?ceo=40corp.example?=",
        "=?iso-2022-kr?Q?ceo=40corp.example?=",
        "=?utf-8*en?Q?ceo=40corp.example?=",
        "=?utf-16?B?//5jAGUAbwBAAGMAbwByAHAALgBlAHgAYQBtAHAAbABlAA==?=",
        "=?utf-16?B?AGMAZQBvAEAAYwBvAHIAcAAuAGUAeABhAG0AcABsAGU=?=",
        "=?utf-16le?B?YwBlAG8AQABjAG8AcgBwAC4AZQB4AGEAbQBwAGwAZQA=?=",
        "=?utf-32?B?//4AAGMAAABlAAAAbwAAAEAAAABjAAAAbwAAAHIAAABwAAAALgAAAGUAAAB4AAAAYQAAAG0AAABwAAAAbAAAAGUAAAA=?=",
        "=?utf-8?B?Y2Vv!QGNv cnAuZXhh*bXBsZQ?=",
        "=?utf-8?B?Y2Vv=QGNvcnAuZXhhbXBsZQ==?=",
        "=?utf-8?B?Y2V=vQGNvcnAuZXhhbXBsZQ==?=",
        "=?utf-8?B?Y2VvQA==Y29ycC5leGFtcGxl?=",
        "=?utf-8?B?Y2VvQGNvcnAuZXhhbXBsZQ?=",
        "=?utf-8?Q?ceo=EF=BC?= =?UTF-8?Q?=A0corp.example?=",
        "=?utf-8?Q?ceo?= =?iso-8859-1?Q?=40corp.example?=",
        "=?gb2312?Q?ceo=A3?= =?gb2312?Q?=C0corp.example?=",
        // marks belong to their letters
        "ceo\u{301}@corp.example",
    ];
    for name in names {
        let field = format!("{name} <mallory@evil.example>");
        let found = shown::beside(&field, &address::list(&field));
        let expected = if name.contains('\u{301}') {
            "ce\u{f3}@corp.example"
        } else {
            "ceo@corp.example"
        };
        assert_eq!(found, [expected], "{name:?}");
    }
}

#[test]
fn names_of_honest_people_show_no_address() {
    let names = [
        "=?ISO-2022-JP?B?GyRCQFAkLhsoQiAbJEJARExaGyhCIBskQkA+JS5AaEA4GyhC?=",
        "=?iso-2022-jp?B?GyRCRURDZhsoQiAbJEJCQE86IUoxRDZIIUsbKEI=?=",
        "=?Shift_JIS?B?g0GDSYNMIINclVyDQQ==?=",
        "=?EUC-JP?B?zuvM2iCw7M+6?=",
        "=?gb2312?B?zfXQocP3?=",
        "=?gb18030?B?xECwQIFcglI=?=",
        "=?big5?B?s1ylXLtcILOvpf2lzQ==?=",
        "=?ks_c_5601-1987?B?yKux5rW/?=",
        "=?iso-2022-kr?B?GyQpQw5IKzFmNT8P?=",
        "=?KOI8-R?B?6dfBziDwxdTSz9c=?=",
        "=?windows-1251?Q?=C8=E2=E0=ED=20=CF=E5=F2=F0=EE=E2?=",
        "=?iso-8859-1?Q?=4A=F6=72=67=20=4D=FC=6C=6C=65=72?=",
        "=?Windows-1252?Q?=4F=92=43=6F=6E=6E=6F=72=20=96=20=56=65=72=74=72=69=65=62?=",
        "=?iso-8859-8-i?Q?=F9=EC=E5=ED=20=EB=E4=EF?=",
        "=?tis-620?Q?=CA=C1=AA=D2=C2?=",
        "=?utf-7?Q?J+APY-rg_M+APw-ller?=",
        "=?x-unknown?Q?J=F6rg_@_Home?=",
        "=?utf-16?B?//5KAPYAcgBnAA==?=",
        "=?utf-32?B?//4AAEoAAAD2AAAAcgAAAGcAAAA=?=",
        // the bytes of four kanji, which are `30@PA.AA`
        "=?iso-2022-jp?B?GyRCMzBAUEEuQUEbKEI=?=",
        "=?iso-2022-jp?Q?=1B=24B30=40PA.AA=1B=28B?=",
        "=?utf-8?Q?alice=40x.example?=",
        "=?utf-8?Q?=F0=9F=93=A7?= =?utf-8?Q?alice?= =?utf-8?Q?=40x.example?=",
        "\u{201c}alice@x.example\u{201d}",
        "\u{ff08}Alice@X.Example\u{ff09}",
        "\"CORP\\alice@x.example\"",
        "\"Alice \u{200b}\"",
        "\"alice@\u{200b}x.example\"",
        "Jörg @ Büro",
        "=?utf-8?B?SsO2cmc=?= =?utf-8?Q?=C2=A0?= AG",
        "=?utf-8?Q?not closed",
        "=?broken",
        "?==?",
    ];
    for name in names {
        let field = format!("{name} <alice@x.example>");
        let found = shown::beside(&field, &address::list(&field));
        assert!(found.is_empty(), "{name:?}: {found:?}");
    }
    let both = "b@bücher.example <b@xn--bcher-kva.example>";
    assert!(shown::beside(both, &address::list(both)).is_empty());
}

#[test]
fn long_fields_end_soon() {
    let started = std::time::Instant::now();
    for piece in [
        "=?a?b?",
        "=?",
        "@",
        "a@b.c,",
        "=?a?q?=40?=",
        "+AEA",
        "a@\u{e9}.c ",
    ] {
        let field = piece.repeat((64 << 10) / piece.len());
        shown::beside(&field, &address::list(&field));
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
