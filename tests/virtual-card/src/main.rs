//! `virtual-card`: a PIV card in a virtual reader, by hand or for tests. See README.md.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use privyseal_virtual_card::card::Card;
use privyseal_virtual_card::reader::Reader;
use privyseal_virtual_card::{Result, control, keys};

/// A PIV card in a virtual reader (vsmartcard's vpcd) of pcscd, with faults on command
#[derive(Parser)]
#[command(version, after_help = control::HELP)]
struct Cli {
    /// Folder of the card's keys and certificates; what is missing is made
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// vpcd's port: 35963 for the first reader, 35964 for the second
    #[arg(long, default_value_t = 35963)]
    port: u16,
    /// Socket for commands to the card
    #[arg(long)]
    control: Option<PathBuf>,
    /// Keys: SLOT=ALGORITHM, with 9a, 9c, 9d, 9e and rsa1024, rsa2048, rsa3072, p256, p384
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "9a=p256,9c=rsa2048,9d=rsa2048,9e=p256"
    )]
    alg: Vec<String>,
    /// Mail address in new certificates
    #[arg(long, default_value = "card@example.org")]
    email: String,
    /// Do not insert the card yet
    #[arg(long)]
    absent: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("virtual-card: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    keys::make_missing(&cli.dir, &keys::parse(&cli.alg)?, &cli.email)?;
    let reader = Reader::new(Card::open(&cli.dir)?, &cli.host, cli.port);
    if !cli.absent {
        reader.insert()?;
    }
    println!("ready");
    std::io::stdout().flush()?;
    match &cli.control {
        Some(path) => control::serve(path, &reader)?,
        None => loop {
            std::thread::park();
        },
    }
    Ok(())
}
