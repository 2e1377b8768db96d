//! A hundred thousand times a single bit of a signed message turned over where it counts, and as many elsewhere as it comes; and
//! of encrypted messages. The seed is printed; `PRIVYSEAL_FLIP_SEED` sets it, `PRIVYSEAL_FLIPS` how many.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use privyseal_fuzz_targets::flips::{EncryptedMessage, Part, SignedMessage};
use privyseal_smime::verdict::Verdict;

/// Flips where it counts.
const FLIPS: u64 = 100_000;
/// Flips of encrypted messages.
const ENCRYPTED: u64 = 20_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: a number is wanted")),
    )
}

fn rng(what: &str) -> ChaCha20Rng {
    let seed = number("PRIVYSEAL_FLIP_SEED").unwrap_or_else(|| RandomState::new().hash_one(what));
    println!("{what}: PRIVYSEAL_FLIP_SEED={seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

fn bit(rng: &mut ChaCha20Rng, message: &[u8]) -> usize {
    usize::try_from(rng.next_u64() % (message.len() as u64 * 8)).unwrap()
}

#[test]
fn no_flipped_bit_of_a_signed_message_makes_another_good_one() {
    let mut rng = rng("signed messages");
    let wanted = number("PRIVYSEAL_FLIPS").unwrap_or(FLIPS);
    let messages = SignedMessage::all();
    assert_eq!(messages.len(), 13);
    let right: Vec<_> = messages
        .iter()
        .map(|message| {
            let seen = message.seen(&message.bytes).unwrap();
            assert_eq!(seen.verdict, Verdict::Good, "{}", message.name);
            seen
        })
        .collect();

    // (flips, of which the message stayed good) by part
    let mut cells: BTreeMap<Part, (u64, u64)> = BTreeMap::new();
    let mut counted = 0;
    for (message, right) in messages.iter().zip(&right).cycle() {
        if counted == wanted {
            break;
        }
        let bit = bit(&mut rng, &message.bytes);
        let (changed, part) = message.flipped(bit);
        let seen = message.seen(&changed);
        let good = seen.as_ref().is_some_and(|s| s.verdict == Verdict::Good);
        if part == Part::Elsewhere {
            assert!(
                !good || seen.as_ref() == Some(right),
                "{}: bit {bit} makes another good message: {seen:?}",
                message.name
            );
        } else {
            assert!(!good, "{}: bit {bit}, {part:?}, is good", message.name);
            counted += 1;
        }
        let cell = cells.entry(part).or_default();
        cell.0 += 1;
        cell.1 += u64::from(good);
    }
    for (part, (flips, good)) in &cells {
        println!("{part:?}: {flips} flips, {good} of them good");
        assert!(*flips >= wanted / 200, "too few: {part:?}");
    }
    let where_it_counts = cells.iter().filter(|(part, _)| **part != Part::Elsewhere);
    assert_eq!(
        where_it_counts.map(|(_, (flips, _))| flips).sum::<u64>(),
        wanted
    );
    assert_eq!(cells.len(), 5);
    let (elsewhere, good) = cells[&Part::Elsewhere];
    assert!(elsewhere >= wanted / 2, "{elsewhere}");
    // letters of field names may be of either case, and nobody looks at some version numbers
    assert!((1..elsewhere / 2).contains(&good), "{good}");
}

#[test]
fn a_flipped_bit_of_an_encrypted_message_opens_as_it_was_or_not_at_all_or_is_called_unauthenticated()
 {
    let mut rng = rng("encrypted messages");
    let wanted = number("PRIVYSEAL_FLIPS").unwrap_or(ENCRYPTED);
    let messages = EncryptedMessage::all();
    assert_eq!(messages.len(), 20);
    for message in &messages {
        let (outcome, plain) = EncryptedMessage::opened(&message.bytes);
        assert_eq!(outcome.unwrap().authenticated, message.authenticated);
        assert_eq!(plain, EncryptedMessage::content());
    }
    let (mut refused, mut unchanged, mut unauthenticated) = (0u64, 0u64, 0u64);
    let messages = messages.iter().cycle();
    for message in messages.take(usize::try_from(wanted).unwrap()) {
        let bit = bit(&mut rng, &message.bytes);
        let mut changed = message.bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match EncryptedMessage::opened(&changed) {
            (None, plain) => {
                assert!(plain.is_empty(), "{}: bit {bit}", message.name);
                refused += 1;
            }
            (Some(_), plain) if plain == EncryptedMessage::content() => unchanged += 1,
            (Some(outcome), _) => {
                assert!(
                    !outcome.authenticated && !message.authenticated,
                    "{}: bit {bit} opens as something else",
                    message.name
                );
                unauthenticated += 1;
            }
        }
    }
    println!(
        "{refused} refused, {unchanged} unchanged, {unauthenticated} other and called unauthenticated"
    );
    assert_eq!(refused + unchanged + unauthenticated, wanted);
    assert!(refused > wanted / 2);
    // CBC protects nothing, which is why it is called so
    assert!(unauthenticated > 0);
}
