//! `privyseal-softhsm`: the command line.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};

use privyseal_softhsm::error::Error;
use privyseal_softhsm::layout::Layout;
use privyseal_softhsm::{import, init, token};

/// Makes SoftHSM tokens with a demo PKI for trying and testing Privyseal without hardware.
#[derive(Parser)]
#[command(name = "privyseal-softhsm", version)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the token `privyseal-demo`, its certificates and the daemon's configuration in DIR
    Init {
        #[command(flatten)]
        place: Place,
        /// User PIN of the new token
        #[arg(long, default_value = "123456")]
        pin: String,
    },
    /// Put keys made elsewhere, with their certificates, on the token (while no daemon runs)
    Import {
        #[command(flatten)]
        place: Place,
        /// User PIN; not needed for a token that `init` made
        #[arg(long)]
        pin: Option<String>,
        /// Private key, PEM: PKCS#8 or traditional, RSA or EC (give --key, --cert and --label as often as there are keys)
        #[arg(long = "key", value_name = "KEY.pem", required = true)]
        keys: Vec<PathBuf>,
        /// Its certificate, PEM or DER
        #[arg(long = "cert", value_name = "CERT.pem", required = true)]
        certs: Vec<PathBuf>,
        /// CKA_LABEL of the new objects
        #[arg(long = "label", value_name = "NAME", required = true)]
        labels: Vec<String>,
    },
    /// Print the `export` lines after which privyseald and privyseal use DIR and nothing else of yours
    Env {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Place {
    /// Folder of the token and its files
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// SoftHSM's PKCS#11 library, where it is not in a usual place
    #[arg(long, value_name = "LIB.so")]
    module: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("privyseal-softhsm: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(if matches!(error, Error::Usage(_)) {
                2
            } else {
                1
            })
        }
    }
}

fn run(action: Action) -> Result<(), Error> {
    match action {
        Action::Init { place, pin } => {
            let layout = Layout::create(&place.dir)?;
            let module = token::module_path(place.module)?;
            with_softhsm_conf(&layout)?;
            init::init(&layout, &module, &pin)
        }
        Action::Import {
            place,
            pin,
            keys,
            certs,
            labels,
        } => {
            let jobs = import::pair_up(keys, certs, labels)?;
            let layout = Layout::existing(&place.dir)?;
            let module = token::module_path(place.module)?;
            with_softhsm_conf(&layout)?;
            import::import(&layout, &module, pin.as_deref(), &jobs)
        }
        Action::Env { place } => {
            for line in Layout::existing(&place.dir)?.env_lines()? {
                println!("{line}");
            }
            Ok(())
        }
    }
}

/// SoftHSM reads SOFTHSM2_CONF from the environment of its process, which safe Rust cannot change in a running
/// process: start ourselves again with it set.
fn with_softhsm_conf(layout: &Layout) -> Result<(), Error> {
    let conf = layout.softhsm_conf();
    if std::env::var_os("SOFTHSM2_CONF").is_some_and(|set| set == conf.as_os_str()) {
        return Ok(());
    }
    let me = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
    let failed = Command::new(me)
        .args(std::env::args_os().skip(1))
        .env("SOFTHSM2_CONF", conf)
        .exec();
    Err(Error::io("starting again with SOFTHSM2_CONF set", failed))
}
