use super::same_mailbox;

#[test]
fn mailboxes_are_compared_whole_and_without_case() {
    assert!(same_mailbox("Alice@Example.ORG", "alice@example.org"));
    assert!(same_mailbox("alice@example.org", "<alice@example.org>"));
    assert!(same_mailbox("a@[192.0.2.1]", "a@[192.0.2.1]"));
    for (one, other) in [
        ("alice@example.org", "alice@example.org.evil"),
        ("alice@example.org", "malice@example.org"),
        ("@example.org", "@example.org"),
        ("alice@", "alice@"),
        ("alice", "alice"),
        ("", ""),
        ("alice@example.org", "alice@example.org\0@evil"),
        ("a@[192.0.2.1]", "a@[192.0.2.2]"),
    ] {
        assert!(!same_mailbox(one, other), "{one:?} {other:?}");
    }
}

#[test]
fn domains_are_one_in_unicode_and_as_a_labels() {
    for (one, other) in [
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "A@XN--BCHER-KVA.Example"),
        ("a@bu\u{308}cher.example", "a@bücher.example"),
        ("user@例え\u{3002}テスト", "user@xn--r8jz45g.xn--zckzah"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        // no A-label, and still itself
        ("a@xn--0.example", "a@XN--0.example"),
        ("a@-_-.example", "a@-_-.example"),
    ] {
        assert!(same_mailbox(one, other), "{one:?} {other:?}");
        assert!(same_mailbox(other, one), "{other:?} {one:?}");
    }
    for (one, other) in [
        ("a@bücher.example", "a@bucher.example"),
        ("a@bücher.example", "a@bücher.example.org"),
        // a Cyrillic а
        ("a@exаmple.org", "a@example.org"),
        ("a@straße.example", "a@strasse.example"),
    ] {
        assert!(!same_mailbox(one, other), "{one:?} {other:?}");
    }
}

#[test]
fn local_parts_are_compared_composed() {
    assert!(same_mailbox("jo\u{308}rg@example.org", "jörg@example.org"));
    assert!(same_mailbox("Jörg@example.org", "jörg@example.org"));
    // RFC 9598 §5: no folding beyond ASCII, and no compatibility forms
    assert!(!same_mailbox("JÖRG@example.org", "jörg@example.org"));
    assert!(!same_mailbox("ﬁ@example.org", "fi@example.org"));
    assert!(!same_mailbox("jorg@example.org", "jörg@example.org"));
}

#[test]
fn what_could_not_be_read_is_nobody() {
    assert!(!same_mailbox(
        "a\u{fffd}@example.org",
        "a\u{fffd}@example.org"
    ));
    assert!(!same_mailbox("a@\u{fffd}.org", "a@\u{fffd}.org"));
}

#[test]
fn long_domains_end_soon() {
    let long = format!("a@{}.example", "ü".repeat(60_000));
    let started = std::time::Instant::now();
    assert!(same_mailbox(&long, &long));
    assert!(started.elapsed().as_secs() < 5);
}
