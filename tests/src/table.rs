//! Tables of cells: how many ran, and a floor under that number.

/// Counts the cells of a table-driven test.
#[derive(Default)]
pub struct Table {
    name: &'static str,
    ran: usize,
    refused: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Table {
    pub fn new(name: &'static str) -> Self {
        Table {
            name,
            ..Table::default()
        }
    }

    /// One cell: `Err` says what was wrong.
    pub fn cell(&mut self, cell: &str, result: Result<(), String>) {
        self.ran += 1;
        if let Err(problem) = result {
            self.failures.push(format!("{cell}: {problem}"));
        }
    }

    /// A cell that had to fail, and did.
    pub fn refused(&mut self) {
        self.ran += 1;
        self.refused += 1;
    }

    /// A cell that the peer cannot do; `why` is printed.
    pub fn skip(&mut self, cell: &str, why: &str) {
        self.skipped += 1;
        println!("{}: skipped: {cell}: {why}", self.name);
    }

    /// Prints the line and fails the test where a cell failed or fewer than `floor` ran.
    pub fn finish(self, floor: usize) {
        println!(
            "{}: {} cells ran, {} of them failed and {} had to fail, {} skipped (at least {floor} must run)",
            self.name,
            self.ran,
            self.failures.len(),
            self.refused,
            self.skipped
        );
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert!(
            self.ran >= floor,
            "{}: only {} of {floor} cells ran",
            self.name,
            self.ran
        );
    }
}
