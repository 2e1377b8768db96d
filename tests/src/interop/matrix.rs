//! Runs the matrix: every peer writes what it can and Privyseal reads it; Privyseal writes once and every peer reads that.

use super::{Bench, Job, Lack, Peer, Row, Work, ours};
use crate::table::Table;

/// What the page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Yes,
    No(&'static str),
}

/// One peer in one direction.
pub struct Column {
    pub peer: &'static str,
    /// it writes and Privyseal reads
    pub peer_writes: bool,
    /// a row's cells are one for each of its works
    pub rows: Vec<Vec<Cell>>,
}

/// How one cell went.
enum Ran {
    Good,
    /// failed, as it had to
    Refused(&'static str),
    Skipped(&'static str),
    Failed(String),
}

impl Ran {
    /// A cell that ran, against what was expected of it.
    fn of(lack: Option<Lack>, result: Result<(), String>) -> Self {
        match (lack, result) {
            (None, Ok(())) => Ran::Good,
            (None, Err(problem)) => Ran::Failed(problem),
            (Some(lack), Ok(())) => Ran::Failed(format!(
                "works, though the table says that it does not: {}",
                lack.why()
            )),
            (Some(Lack::Refusal { why, says }), Err(said)) if said.contains(says) => {
                Ran::Refused(why)
            }
            (Some(lack), Err(said)) => {
                Ran::Failed(format!("not as expected ({}): {said}", lack.why()))
            }
        }
    }

    fn cell(&self) -> Cell {
        match self {
            Ran::Good => Cell::Yes,
            Ran::Refused(why) | Ran::Skipped(why) => Cell::No(why),
            Ran::Failed(_) => Cell::No("failed"),
        }
    }

    fn count(&self, table: &mut Table, name: &str) {
        match self {
            Ran::Good => table.cell(name, Ok(())),
            Ran::Refused(_) => table.refused(),
            Ran::Skipped(why) => table.skip(name, why),
            Ran::Failed(problem) => table.cell(name, Err(problem.clone())),
        }
    }
}

/// Both directions for all peers at once; every cell is counted in the table.
pub fn run(
    bench: &Bench,
    peers: &[Box<dyn Peer + '_>],
    rows: &[Row],
    table: &mut Table,
) -> Vec<Column> {
    let works: Vec<(String, &Work)> = rows
        .iter()
        .flat_map(|row| {
            row.works
                .iter()
                .map(move |(word, work)| (format!("{row} {word}"), work))
        })
        .collect();
    let (written, ours) = std::thread::scope(|scope| {
        let written: Vec<_> = peers
            .iter()
            .map(|peer| scope.spawn(|| peer_writes(bench, &**peer, &works)))
            .collect();
        let ours = we_write(bench, &works);
        let written: Vec<_> = written.into_iter().map(|t| t.join().unwrap()).collect();
        (written, ours)
    });
    let read = std::thread::scope(|scope| {
        let read: Vec<_> = peers
            .iter()
            .map(|peer| scope.spawn(|| peer_reads(bench, &**peer, &works, &ours)))
            .collect();
        let read: Vec<_> = read.into_iter().map(|t| t.join().unwrap()).collect();
        read
    });
    for ((name, _), ran) in works.iter().zip(&ours) {
        // what was written counts where it is read
        if !matches!(ran, Ran::Good) {
            ran.count(table, &format!("Privyseal writes: {name}"));
        }
    }
    let mut columns = Vec::new();
    for ((peer, written), read) in peers.iter().zip(written).zip(read) {
        for (peer_writes, rans) in [(true, written), (false, read)] {
            let verb = if peer_writes { "writes" } else { "reads" };
            for ((name, _), ran) in works.iter().zip(&rans) {
                ran.count(table, &format!("{} {verb}: {name}", peer.name()));
            }
            columns.push(Column {
                peer: peer.name(),
                peer_writes,
                rows: by_row(rows, &rans),
            });
        }
    }
    columns
}

fn by_row(rows: &[Row], rans: &[Ran]) -> Vec<Vec<Cell>> {
    let mut cells = rans.iter().map(Ran::cell);
    rows.iter()
        .map(|row| cells.by_ref().take(row.works.len()).collect())
        .collect()
}

fn job<'a>(bench: &Bench, by: &str, number: usize, work: &'a Work) -> Job<'a> {
    let name = by.to_lowercase().replace(' ', "-");
    Job {
        work,
        message: bench.path(&format!("{number}.{name}")),
        content: bench.content(work),
        seen: bench.path(&format!("{number}.{name}.seen")),
        reader: match work {
            Work::Encrypt { recipients, .. } => recipients[0],
            _ => super::Key::Rsa,
        },
    }
}

fn peer_writes(bench: &Bench, peer: &dyn Peer, works: &[(String, &Work)]) -> Vec<Ran> {
    let mut rans: Vec<Option<Ran>> = Vec::new();
    let mut jobs = Vec::new();
    for (number, (_, work)) in works.iter().enumerate() {
        let lack = peer.cannot_write(work);
        if let Some(Lack::NoOption(why)) = lack.or_else(|| ours::cannot_read(work)) {
            rans.push(Some(Ran::Skipped(why)));
        } else {
            rans.push(None);
            jobs.push((number, lack, job(bench, peer.name(), number, work)));
        }
    }
    let (places, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().map(|(n, l, j)| ((n, l), j)).unzip();
    let results = peer.write(bench, &jobs);
    assert_eq!(results.len(), jobs.len(), "{}", peer.name());
    for (((number, lack), job), result) in places.into_iter().zip(&jobs).zip(results) {
        let result = match (lack, result) {
            (None, Ok(())) => ours::read(bench, job).and_then(|()| ours::same_content(job)),
            (_, result) => result.map_err(|said| format!("not written: {said}")),
        };
        rans[number] = Some(Ran::of(lack, result));
    }
    rans.into_iter().flatten().collect()
}

fn we_write(bench: &Bench, works: &[(String, &Work)]) -> Vec<Ran> {
    let one = |(number, (_, work)): (usize, &(String, &Work))| match ours::cannot_write(work) {
        Some(Lack::NoOption(why)) => Ran::Skipped(why),
        lack => Ran::of(lack, ours::write(bench, &job(bench, "ours", number, work))),
    };
    works.iter().enumerate().map(one).collect()
}

fn peer_reads(bench: &Bench, peer: &dyn Peer, works: &[(String, &Work)], ours: &[Ran]) -> Vec<Ran> {
    let mut rans: Vec<Vec<Ran>> = Vec::new();
    let mut jobs = Vec::new();
    for (number, ((_, work), made)) in works.iter().zip(ours).enumerate() {
        rans.push(Vec::new());
        if let Ran::Refused(why) | Ran::Skipped(why) = made {
            rans[number].push(Ran::Skipped(why));
            continue;
        }
        if let Ran::Failed(_) = made {
            rans[number].push(Ran::Skipped("failed"));
            continue;
        }
        let mut one = job(bench, peer.name(), number, work);
        one.message = job(bench, "ours", number, work).message;
        let readers = match work {
            Work::Encrypt { recipients, .. } => recipients.clone(),
            _ => vec![one.reader],
        };
        for reader in readers {
            let seen = bench.path(&format!("{number}.{}.{}.seen", peer.name(), reader.name()));
            let one = Job {
                reader,
                seen,
                message: one.message.clone(),
                content: one.content.clone(),
                work,
            };
            match peer.cannot_read(work, reader) {
                Some(Lack::NoOption(why)) => rans[number].push(Ran::Skipped(why)),
                lack => jobs.push((number, lack, one)),
            }
        }
    }
    let (places, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().map(|(n, l, j)| ((n, l), j)).unzip();
    let results = peer.read(bench, &jobs);
    assert_eq!(results.len(), jobs.len(), "{}", peer.name());
    for (((number, lack), job), result) in places.into_iter().zip(&jobs).zip(results) {
        let result = result.and_then(|()| ours::same_content(job));
        rans[number].push(Ran::of(lack, result));
    }
    rans.into_iter().map(together).collect()
}

/// Several recipients of one message: a failure of any counts, else who can read it, reads it.
fn together(mut rans: Vec<Ran>) -> Ran {
    let found = |rans: &[Ran], wanted: fn(&Ran) -> bool| rans.iter().position(wanted);
    let place = found(&rans, |ran| matches!(ran, Ran::Failed(_)))
        .or_else(|| found(&rans, |ran| matches!(ran, Ran::Good)))
        .unwrap_or(0);
    rans.swap_remove(place)
}
