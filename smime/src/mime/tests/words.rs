use super::super::words::{Reading, decode};

#[test]
fn encoded_words_are_read_as_rfc_2047_has_them() {
    for (field, expected) in [
        ("plain =", "plain ="),
        ("=?US-ASCII?Q?Keith_Moore?= <a@b>", "Keith Moore <a@b>"),
        ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "Andr\u{e9} Pirard"),
        ("=?ISO-8859-1?B?SWYgeW91IGNhbg==?=", "If you can"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("=?ISO-8859-1?Q?a?=\t =?utf-8?B?Yg==?= c", "ab c"),
        ("=?ISO-8859-1?Q?a_b?= =? =?ISO-8859-1?q?c?=", "a b =? c"),
        ("=?x?z?a?=", "=?x?z?a?="),
        ("=?utf-7?Q?1+-1+AD0-2+-+?=", "1+1=2++"),
        ("=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(decode(field, Reading::USUAL), expected, "{field:?}");
    }
}
