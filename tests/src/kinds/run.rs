//! Runs one column, against what is expected of it.

use super::work::Work;
use super::{Kind, Lack, Operation};
use crate::table::Table;
use crate::{World, WorldOptions, wait_until};

/// # Panics
/// When a cell is not as [`Kind::lacks`] says, or fewer ran than its floor.
pub fn run(kind: &Kind) {
    let mut world = World::with(WorldOptions {
        log: Some("info,privyseal_token=debug"),
        card: kind.card,
        ..WorldOptions::default()
    });
    assert_eq!(world.stop_daemon(), 0);
    let place = (kind.place)(&world);
    let refused = if kind.card.is_empty() {
        let before = |o: &&Operation| {
            **o != Operation::NewKey && !matches!(kind.lack(**o), Some(Lack::NotRun(_)))
        };
        let all = Operation::ALL.iter().filter(before);
        let mut keys: Vec<_> = all.map(|o| o.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        place.make(&world, kind, &keys)
    } else {
        Vec::new()
    };
    place.configure(&world);
    world.start_daemon();
    wait_until(kind.label, || {
        let list = world.privyseal(["token", "list", "--json"]);
        list.text().contains(kind.label)
    });

    let work = Work {
        world: &world,
        kind,
        place: &place,
    };
    work.unlock(kind.pin).unwrap();
    let mut table = Table::new(kind.name);
    for operation in Operation::ALL {
        let name = operation.name();
        let why_no_key = refused.iter().find(|(key, _)| *key == operation.key().0);
        match (kind.lack(operation), why_no_key) {
            (Some(Lack::NotRun(why)), _) => table.skip(name, why),
            (Some(Lack::NoKey(_)), Some(_)) => table.refused(),
            (Some(Lack::NoKey(why)), None) => {
                table.cell(name, Err(format!("the key is made after all: {why}")));
            }
            (_, Some((_, said))) => table.cell(name, Err(format!("no key: {said}"))),
            (Some(Lack::Fails(why, error)), None) => match work.run(operation) {
                Err(said) if said.starts_with(error) => table.refused(),
                other => table.cell(name, Err(format!("{error} was meant ({why}): {other:?}"))),
            },
            (None, None) => table.cell(name, work.run(operation)),
        }
    }
    assert_eq!(world.stop_daemon(), 0);
    table.finish(kind.floor);
}
