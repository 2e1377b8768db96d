//! The chain, and what breaks it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct World {
    folder: TempDir,
}

impl World {
    /// A trail of `begun` and so many signatures; it is closed.
    fn with(signatures: usize) -> Self {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        world.sign(&world.open(), signatures);
        world
    }

    fn open(&self) -> Trail {
        Trail::open(self.folder.path()).unwrap()
    }

    fn sign(&self, trail: &Trail, times: usize) {
        for _ in 0..times {
            trail.record(signature()).unwrap();
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn set_lines(&self, lines: &[String]) {
        fs::write(self.path("audit.jsonl"), lines.join("\n") + "\n").unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// What is found: at once, after a restart, and after one more record.
    fn problems_of(&self, change: impl Fn(&mut Vec<String>)) -> [Vec<String>; 3] {
        let trail = self.open();
        self.sign(&trail, 1);
        let mut lines = self.lines();
        change(&mut lines);
        self.set_lines(&lines);
        let at_once = trail.verify().unwrap().problems;
        drop(trail);
        let trail = self.open();
        let restarted = trail.verify().unwrap().problems;
        self.sign(&trail, 1);
        [at_once, restarted, trail.verify().unwrap().problems]
    }
}

fn signature() -> Entry {
    Entry::new(Kind::Sign, &Ok(())).by(None, "sign a message")
}

fn all() -> Query {
    Query {
        limit: 1000,
        before: u64::MAX,
        since: None,
        token: None,
    }
}

#[test]
fn an_untouched_trail_holds_over_restarts_and_is_the_users_own() {
    let world = World::with(3);
    world.sign(&world.open(), 2);
    let trail = world.open();
    world.sign(&trail, 1);
    let found = trail.verify().unwrap();
    assert_eq!(found.problems, [""; 0]);
    assert_eq!(found.notes, [""; 0]);
    // three starts and six signatures
    assert_eq!((found.records, found.first, found.last), (9, 1, 9));
    assert_eq!(found.hash, files::hash(world.lines()[8].as_bytes()));
    for name in ["audit.jsonl", "audit.head"] {
        let mode = fs::metadata(world.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// A trail of which something was done to the lines.
#[track_caller]
fn is_found(change: impl Fn(&mut Vec<String>)) {
    let [at_once, restarted, later] = World::with(5).problems_of(change);
    assert!(!at_once.is_empty(), "at once");
    assert!(!restarted.is_empty(), "after a restart");
    assert!(!later.is_empty(), "after one more record");
}

#[test]
fn refusals_push_nothing_out_and_uses_are_always_told() {
    let world = World::with(0);
    let trail = world.open();
    let failure = Failure::new(ErrorName::NotAuthorized, "no");
    for _ in 0..200 {
        let refused = Entry::new(Kind::Sign, &Err::<(), _>(failure.clone()));
        trail.record(refused).unwrap();
        trail.record(signature()).unwrap();
    }
    let count = |word: &str| {
        world
            .lines()
            .iter()
            .filter(|line| line.contains(word))
            .count()
    };
    assert_eq!(count("NotAuthorized"), usize::try_from(REFUSALS).unwrap());
    assert_eq!(count("sign a message"), 200);

    let mut refusals = Refusals::default();
    let now = Instant::now();
    let told = |turn| matches!(turn, Turn::Told { before: 0 });
    for _ in 0..REFUSALS {
        assert!(told(refusals.next(now)));
    }
    for _ in 0..7 {
        assert!(matches!(refusals.next(now), Turn::LeftOut));
    }
    let later = now + MINUTE;
    assert!(matches!(refusals.next(later), Turn::Told { before: 7 }));
    assert!(told(refusals.next(later)));
}

#[test]
fn where_no_file_can_be_made_none_is_lost() {
    let world = World::with(0);
    let trail = world.open();
    trail.set_max_kib(16);
    world.sign(&trail, 60);
    let before = trail.verify().unwrap();
    // a folder in its place: it cannot be opened for writing
    fs::create_dir(world.path("audit.new")).unwrap();
    let failed = (0..60)
        .filter(|_| trail.record(signature()).is_err())
        .count();
    assert!(failed > 3, "{failed}");
    let after = trail.verify().unwrap();
    assert_eq!(
        (after.first, after.problems.len()),
        (before.first, 0),
        "{after:?}"
    );
    fs::remove_dir(world.path("audit.new")).unwrap();
    trail.record(signature()).unwrap();
    assert_eq!(trail.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_changed_record_is_found_wherever_it_is() {
    for n in 0..8 {
        is_found(|lines| {
            lines[n] = lines[n]
                .replace("\"ok\"", "\"OK\"")
                .replace("begun", "BEGUN")
        });
    }
}

#[test]
fn a_record_that_was_taken_out_is_found_wherever_it_was() {
    for n in 0..8 {
        is_found(|lines| drop(lines.remove(n)));
    }
}

#[test]
fn records_that_were_moved_or_put_in_are_found() {
    for n in 0..7 {
        is_found(|lines| lines.swap(n, n + 1));
        is_found(|lines| {
            let twice = lines[n].clone();
            lines.insert(n, twice);
        });
        is_found(|lines| lines.insert(n, "nonsense".into()));
    }
}

#[test]
fn a_trail_that_was_cut_off_is_found() {
    for n in 1..8 {
        is_found(|lines| lines.truncate(n));
    }
    // all of it, and its head
    let world = World::with(3);
    fs::remove_file(world.path("audit.jsonl")).unwrap();
    let trail = world.open();
    world.sign(&trail, 1);
    assert!(!trail.verify().unwrap().problems.is_empty());
    let world = World::with(3);
    fs::remove_file(world.path("audit.head")).unwrap();
    let trail = world.open();
    world.sign(&trail, 1);
    assert!(!trail.verify().unwrap().problems.is_empty());
}

#[test]
fn a_torn_line_is_told_and_written_after_wherever_it_was_torn() {
    let whole = World::with(2);
    let bytes = fs::read(whole.path("audit.jsonl")).unwrap();
    let before_last = bytes.len() - whole.lines()[2].len() - 1;
    let head = fs::read(whole.path("audit.head")).unwrap();
    for cut in before_last..=bytes.len() {
        let world = World::with(1);
        // the record was begun, and the head not yet written
        let mut text = fs::read(world.path("audit.jsonl")).unwrap();
        let kept = text.len();
        assert_eq!(kept, before_last);
        text.extend_from_slice(&bytes[before_last..cut]);
        let is_whole = cut == bytes.len();
        if is_whole {
            fs::copy(whole.path("audit.jsonl"), world.path("audit.jsonl")).unwrap();
            fs::write(world.path("audit.head"), &head).unwrap();
        } else {
            fs::write(world.path("audit.jsonl"), &text).unwrap();
        }
        let trail = world.open();
        world.sign(&trail, 1);
        let found = trail.verify().unwrap();
        assert_eq!(found.problems, [""; 0], "{cut}");
        assert_eq!(
            found.notes.len(),
            usize::from(cut > kept && !is_whole),
            "{cut}"
        );
        drop(trail);
        assert_eq!(world.open().verify().unwrap().problems, [""; 0], "{cut}");
    }
}

#[test]
fn a_record_that_was_written_before_its_head_is_no_break() {
    let world = World::with(2);
    let head = fs::read(world.path("audit.head")).unwrap();
    world.sign(&world.open(), 1);
    fs::write(world.path("audit.head"), head).unwrap();
    let trail = world.open();
    world.sign(&trail, 1);
    assert_eq!(trail.verify().unwrap().problems, [""; 0]);
}

#[test]
fn the_trail_stays_within_its_size_and_the_chain_goes_on_from_file_to_file() {
    let world = World::with(0);
    let trail = world.open();
    trail.set_max_kib(16);
    let mut starts = 0;
    for round in 0..40 {
        world.sign(&trail, 10);
        let found = trail.verify().unwrap();
        assert_eq!(found.problems, [""; 0], "{round}");
        starts = found.first;
    }
    assert!(starts > 1, "nothing was thrown away");
    let size: u64 = fs::read_dir(world.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= 16 * 1024 + 86, "{size}");
    let found = trail.verify().unwrap();
    assert_eq!(found.records, found.last - found.first + 1);
    assert!(found.notes[0].contains("thrown away"));
    drop(trail);
    let trail = world.open();
    world.sign(&trail, 1);
    assert_eq!(trail.verify().unwrap().problems, [""; 0]);
    // one of the older files
    fs::remove_file(world.path("audit.2.jsonl")).unwrap();
    assert!(!trail.verify().unwrap().problems.is_empty());
}

#[test]
fn a_crash_amid_a_rotation_costs_nothing() {
    for done in 1..=3 {
        let world = World::with(4);
        // `audit.jsonl` was moved, the new one made or not
        fs::rename(world.path("audit.jsonl"), world.path("audit.1.jsonl")).unwrap();
        if done > 1 {
            fs::write(world.path("audit.jsonl"), "").unwrap();
        }
        if done > 2 {
            fs::rename(world.path("audit.1.jsonl"), world.path("audit.2.jsonl")).unwrap();
        }
        let trail = world.open();
        world.sign(&trail, 1);
        let found = trail.verify().unwrap();
        assert_eq!(found.problems, [""; 0], "{done}");
        assert_eq!((found.first, found.last), (1, 7));
    }
}

#[test]
fn the_newest_records_that_fit_are_listed_oldest_first() {
    let world = World::with(5);
    let trail = world.open();
    let numbers = |query: &Query| -> Vec<u64> {
        let records = trail.list(query).unwrap();
        records.iter().map(|r| r["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&all()), [1, 2, 3, 4, 5, 6]);
    let two = Query { limit: 2, ..all() };
    assert_eq!(numbers(&two), [5, 6]);
    assert_eq!(numbers(&Query { before: 5, ..two }), [3, 4]);
    let since = |time: &str| Query {
        since: Some(time.into()),
        ..all()
    };
    assert_eq!(numbers(&since("2000-01-01T00:00:00Z")).len(), 6);
    assert_eq!(numbers(&since("9000-01-01T00:00:00Z")), [0; 0]);
    let token = Some("00".to_owned());
    assert_eq!(numbers(&Query { token, ..all() }), [0; 0]);
}
