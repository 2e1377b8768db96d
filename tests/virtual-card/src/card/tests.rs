use super::*;

/// Keys are made once for all tests.
fn card() -> (tempfile::TempDir, Card) {
    let dir = tempfile::tempdir().unwrap();
    let algorithms = [(0x9a, "p256"), (0x9c, "p256"), (0x9d, "p256")];
    let algorithms = algorithms.map(|(slot, name)| (slot, name.to_owned()));
    crate::keys::make_missing(dir.path(), &algorithms, "card@example.org").unwrap();
    let mut card = Card::open(dir.path()).unwrap();
    assert_eq!(send(&mut card, SELECT, 4, 0, &AID), 0x9000);
    (dir, card)
}

fn answer(card: &mut Card, instruction: u8, p1: u8, p2: u8, data: &[u8]) -> (Vec<u8>, u16) {
    let len = u16::try_from(data.len()).unwrap().to_be_bytes();
    let command = [&[0, instruction, p1, p2, 0], &len[..], data, &[0, 0]].concat();
    let Answer::Bytes(mut answer) = card.transmit(&command) else {
        panic!("pulled");
    };
    let (low, high) = (answer.pop().unwrap(), answer.pop().unwrap());
    (answer, u16::from_be_bytes([high, low]))
}

fn send(card: &mut Card, instruction: u8, p1: u8, p2: u8, data: &[u8]) -> u16 {
    answer(card, instruction, p1, p2, data).1
}

fn padded(secret: &str) -> Vec<u8> {
    let mut field = secret.as_bytes().to_vec();
    field.resize(8, 0xff);
    field
}

fn sign(card: &mut Card, slot: u8) -> u16 {
    let template = [tlv(0x82, b""), tlv(0x81, &[7; 32])].concat();
    send(card, AUTHENTICATE, 0x11, slot, &tlv(0x7c, &template))
}

#[test]
fn wrong_pins_are_counted_and_the_puk_unblocks() {
    let (_dir, mut card) = card();
    let wrong = padded("000000");
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &[]), 0x63c3);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &wrong), 0x63c2);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("123456")), 0x9000);
    assert_eq!(card.state().pin_left, 3);
    for status in [0x63c2, 0x63c1, 0x6983, 0x6983] {
        assert_eq!(send(&mut card, VERIFY, 0, 0x80, &wrong), status);
    }
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("123456")), 0x6983);
    let unblock = |puk: &str| [padded(puk), padded("654321")].concat();
    let reset =
        |card: &mut Card, puk: &str| send(card, RESET_RETRY_COUNTER, 0, 0x80, &unblock(puk));
    assert_eq!(reset(&mut card, "00000000"), 0x63c2);
    assert_eq!(reset(&mut card, "12345678"), 0x9000);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("654321")), 0x9000);
    assert_eq!(card.state().verifies, 8);
}

#[test]
fn keys_want_the_pin_once_or_always() {
    let (_dir, mut card) = card();
    assert_eq!(sign(&mut card, 0x9a), 0x6982);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("123456")), 0x9000);
    assert_eq!(
        (sign(&mut card, 0x9a), sign(&mut card, 0x9a)),
        (0x9000, 0x9000)
    );
    assert_eq!(sign(&mut card, 0x9c), 0x6982);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("123456")), 0x9000);
    assert_eq!(
        (sign(&mut card, 0x9c), sign(&mut card, 0x9c)),
        (0x9000, 0x6982)
    );
    assert_eq!(card.state().uses, 3);
    card.power_cycle();
    assert_eq!(send(&mut card, SELECT, 4, 0, &AID), 0x9000);
    assert_eq!(sign(&mut card, 0x9a), 0x6982);
}

#[test]
fn a_new_pin_counts_from_the_old_one() {
    let (_dir, mut card) = card();
    let change = |card: &mut Card, old: &str, new: &str| {
        let data = [padded(old), padded(new)].concat();
        send(card, CHANGE_REFERENCE_DATA, 0, 0x80, &data)
    };
    assert_eq!(change(&mut card, "000000", "111111"), 0x63c2);
    assert_eq!(change(&mut card, "123456", "1"), 0x6a80);
    assert_eq!(change(&mut card, "123456", "111111"), 0x9000);
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("111111")), 0x9000);
}

#[test]
fn faults_come_as_often_as_they_were_asked_for() {
    let (_dir, mut card) = card();
    assert_eq!(send(&mut card, VERIFY, 0, 0x80, &padded("123456")), 0x9000);
    card.faults.answer(AUTHENTICATE, Status(0x6f00), 2);
    let seen = [0; 3].map(|_| sign(&mut card, 0x9a));
    assert_eq!(seen, [0x6f00, 0x6f00, 0x9000]);
    card.faults.drop(AUTHENTICATE, 1);
    let command = [0, AUTHENTICATE, 0x11, 0x9a, 0];
    assert!(matches!(card.transmit(&command), Answer::Pulled));
    assert!(matches!(card.transmit(&command), Answer::Bytes(_)));
}

#[test]
fn certificates_are_shown_to_everyone() {
    let (_dir, mut card) = card();
    let (object, status) = answer(
        &mut card,
        GET_DATA,
        0x3f,
        0xff,
        &[0x5c, 3, 0x5f, 0xc1, 0x05],
    );
    assert_eq!(status, 0x9000);
    let der = value_of(value_of(&object, 0x53).unwrap(), 0x70).unwrap();
    assert!(Certificate::from_der(der).is_ok());
    let absent = [0x5c, 3, 0x5f, 0xc1, 0x01];
    assert_eq!(send(&mut card, GET_DATA, 0x3f, 0xff, &absent), 0x6a82);
}
