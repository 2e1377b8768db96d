//! Cards that are pulled, put back, slow and wrong at random, while they are used: seeded, so that a failure can be seen again.
//!
//! `PRIVYSEAL_SCHEDULES=2000` runs so many (51 by default), `PRIVYSEAL_SEED=17` that one only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod cards;
mod common;

use std::time::{Duration, Instant};

use cards::{Card, Cards, PIN};
use common::eventually;
use privyseal_token::{Error, Hash, KeyRef, Module, ModuleStatus, SignScheme, TokenId};
use privyseal_virtual_card::pcscd::in_private_place;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"to be signed";
/// Each in a place of its own, at the same time.
const PLACES: u64 = 3;
const STEPS: u32 = 12;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A card in the schedule.
struct Player<'a> {
    card: &'a Card,
    token: TokenId,
    key: KeyRef,
    scheme: SignScheme,
    entries: u64,
    signatures: u64,
}

impl<'a> Player<'a> {
    fn new(module: &Module, card: &'a Card, scheme: SignScheme) -> Self {
        Self {
            token: card.token(module).id,
            key: card.key(module),
            card,
            scheme,
            entries: 0,
            signatures: 0,
        }
    }

    fn login(&mut self, module: &Module) -> Result<(), Error> {
        self.entries += 1;
        module.login(&self.token, Some(Zeroizing::new(PIN.to_vec())), false)
    }

    /// A signature that came is right.
    fn sign(&mut self, module: &Module) -> Result<(), Error> {
        let digest = Sha256::digest(MESSAGE);
        let signature = module.sign(&self.token, &self.key, self.scheme, &digest)?;
        self.card.verify(MESSAGE, &signature);
        self.signatures += 1;
        Ok(())
    }

    /// One step: what may happen to a card, or be asked of it.
    fn step(&mut self, module: &Module, random: &mut Random) {
        let result = match random.below(12) {
            0..=2 => self.sign(module),
            3 | 4 => self.login(module),
            5 => module.logout(&self.token),
            6 => {
                self.card.tell("remove");
                Ok(())
            }
            7 => {
                self.card.tell("insert");
                Ok(())
            }
            8 => {
                self.card.tell("drop 87");
                self.sign(module)
            }
            9 => {
                let words = ["6f00", "6982", "6a80", "6581", "6985", "6400"];
                let word = words[usize::try_from(random.below(6)).unwrap()];
                self.card
                    .tell(&format!("sw {word} 87 {}", 1 + random.below(3)));
                self.sign(module)
            }
            10 => {
                self.card.tell(&format!("delay {}", random.below(300)));
                let result = self.sign(module);
                self.card.tell("clear");
                result
            }
            _ => {
                let there = self.card.card.is_inserted();
                let asked = Instant::now();
                eventually("the list is true", || {
                    self.card.find(module).is_some() == there
                });
                // a card that comes is read first
                let most = if there { 5000 } else { 1500 };
                let took = asked.elapsed();
                assert!(took < Duration::from_millis(most), "{there} {took:?}");
                Ok(())
            }
        };
        match result {
            Ok(())
            | Err(
                Error::TokenRemoved
                | Error::TokenNotPresent
                | Error::PinRequired
                | Error::TokenError(_)
                | Error::UsageNotAllowed(_),
            ) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Back to a card that works: it does, nothing is stuck and no try is lost.
    fn settle(&mut self, module: &Module) {
        self.card.tell("clear");
        self.card.tell("insert");
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let worked = self.login(module).and_then(|()| self.sign(module));
            match worked {
                Ok(()) => break,
                Err(error) => assert!(
                    Instant::now() < until,
                    "{error:?} {}",
                    self.card.tell("stat")
                ),
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let state = self.card.card.card().state();
        assert_eq!(state.pin_left, 3);
        assert!(state.verifies <= self.entries, "{state:?} {}", self.entries);
    }
}

/// The share of one place.
fn run(place: u64, name: &str) {
    in_private_place(name, || {
        let number = |name| {
            let value = std::env::var(name).ok()?;
            Some(value.parse::<u64>().unwrap())
        };
        let all = number("PRIVYSEAL_SCHEDULES").unwrap_or(51);
        let seeds: Vec<u64> = match number("PRIVYSEAL_SEED") {
            Some(seed) if place == 0 => vec![seed],
            Some(_) => Vec::new(),
            None => (0..all).filter(|seed| seed % PLACES == place).collect(),
        };
        let cards = Cards::new();
        let module = cards.start();
        let mut players = [
            Player::new(&module, &cards.slow, SignScheme::Ecdsa),
            Player::new(&module, &cards.fast, SignScheme::RsaPkcs1(Hash::Sha256)),
        ];
        let mut ran = 0;
        for seed in &seeds {
            println!("seed {seed}");
            let mut random = Random(*seed);
            for _ in 0..STEPS {
                let player = &mut players[usize::try_from(random.below(2)).unwrap()];
                player.step(&module, &mut random);
            }
            for player in &mut players {
                player.settle(&module);
            }
            assert_eq!(module.status(), ModuleStatus::Ok);
            ran += 1;
        }
        let signatures: u64 = players.iter().map(|p| p.signatures).sum();
        println!("{ran} schedules ran, {signatures} signatures, none wrong");
        assert_eq!(ran, seeds.len());
        module.shutdown();
    });
}

#[test]
fn schedules_of_the_first_place() {
    run(0, "schedules_of_the_first_place");
}

#[test]
fn schedules_of_the_second_place() {
    run(1, "schedules_of_the_second_place");
}

#[test]
fn schedules_of_the_third_place() {
    run(2, "schedules_of_the_third_place");
}
