//! A token that does its work while the worker of another one crashes, or hangs until its deadline, again and again.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use privyseal_tests::bytes::Client;
use privyseal_tests::{PIN, World, binary};

use crate::report::{Times, ms, title};
use crate::signing::{fingerprint, mail};

/// Seconds that a call of the token in trouble may take.
const DEADLINE: u64 = 1;

pub fn run(world: &mut World, seconds: f64) {
    let other = Other::add_to(world);
    title("One 10 KiB mail, RSA-2048 in SoftHSM, one client: while another token is in trouble");
    println!(
        "{:24} {:>12} {:>12} {:>8} {:>12} {:>12} {:>8} {:>9}",
        "the other token",
        "p50 alone",
        "p50 beside",
        "ratio",
        "p99 alone",
        "p99 beside",
        "ratio",
        "troubles"
    );
    let signer = fingerprint(world, "rsa-sign");
    for (trouble, script) in [
        ("signs", None),
        ("crashes at C_Sign", Some("C_Sign once crash")),
        ("hangs at C_Sign", Some("C_Sign once hang")),
    ] {
        let alone = sign(world, &signer, seconds);
        let over = AtomicBool::new(false);
        let (beside, troubles) = std::thread::scope(|scope| {
            let in_trouble = scope.spawn(|| other.be_in_trouble(world, script, &over));
            let beside = sign(world, &signer, seconds);
            over.store(true, Ordering::Release);
            (beside, in_trouble.join().unwrap())
        });
        let [p50, p50_beside, p99, p99_beside] =
            [(&alone, 50), (&beside, 50), (&alone, 99), (&beside, 99)]
                .map(|(t, at)| t.percentile(at));
        println!(
            "{trouble:24} {} {} {:>7.2}x {} {} {:>7.2}x {troubles:>9}",
            ms(p50),
            ms(p50_beside),
            p50_beside / p50,
            ms(p99),
            ms(p99_beside),
            p99_beside / p99,
        );
    }
}

fn sign(world: &World, signer: &str, seconds: f64) -> Times {
    let client = Client::connect(world.bus_address());
    let (mail, options) = (mail(), [("signer", signer)]);
    client.sign(&mail, &options).unwrap();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        client.sign(&mail, &options).unwrap();
        times.push(began.elapsed());
    }
    Times::new(times)
}

/// A second token, behind the faulty module.
struct Other {
    signer: String,
    id: String,
}

impl Other {
    fn add_to(world: &mut World) -> Self {
        let dir = world.path("other");
        let mut make = world.command(binary("privyseal-softhsm", true));
        make.args(["init", "--pin", PIN, "--dir"]).arg(&dir);
        let made = make.env_remove("SOFTHSM2_CONF").output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let config = world.path("token/privyseal.toml");
        let mut text = fs::read_to_string(&config).unwrap();
        text.push_str(&format!(
            "\n[[module]]\npath = \"{}\"\ndeadline = {DEADLINE}\nwrite = [\"{dir}\"]\nenv = {{ SOFTHSM2_CONF = \"{dir}/softhsm2.conf\", \
             PRIVYSEAL_FAULTY_TARGET = \"/usr/lib/softhsm/libsofthsm2.so\", PRIVYSEAL_FAULTY_SCRIPT = \"{dir}/script\" }}\n",
            binary("libprivyseal_faulty_module.so", true).display(),
            dir = dir.display(),
        ));
        fs::write(&config, text).unwrap();
        let known = ids(world);
        assert_eq!(world.stop_daemon(), 0);
        world.start_daemon();
        let mut id = None;
        privyseal_tests::wait_until("the other token", || {
            id = ids(world).into_iter().find(|id| !known.contains(id));
            id.is_some()
        });
        world.unlock_token(&known[0]);
        let other = Other {
            signer: format!("sha256:{}", world.fingerprint(dir.join("me-rsa-sign.pem"))),
            id: id.unwrap(),
        };
        world.unlock_token(&other.id);
        other
    }

    /// Gives how often.
    fn be_in_trouble(&self, world: &World, script: Option<&str>, over: &AtomicBool) -> u32 {
        let client = Client::connect(world.bus_address());
        let mut troubles = 0;
        while !over.load(Ordering::Acquire) {
            if let Some(script) = script {
                world.write("other/script", script);
            }
            let failed = client.sign(&mail(), &[("signer", &self.signer)]).is_err();
            troubles += u32::from(failed);
            while failed && !over.load(Ordering::Acquire) {
                world.privyseal(["token", "rescan"]);
                let unlock = ["token", "unlock", &self.id, "--pin-fd", "0"];
                if world.privyseal_in(unlock, PIN.as_bytes()).code == 0 {
                    break;
                }
            }
        }
        world.write("other/script", "");
        privyseal_tests::wait_until("the other token works", || {
            world.privyseal(["token", "rescan"]);
            let unlock = ["token", "unlock", &self.id, "--pin-fd", "0"];
            world.privyseal_in(unlock, PIN.as_bytes()).code == 0
        });
        troubles
    }
}

fn ids(world: &World) -> Vec<String> {
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    let tokens = list["tokens"].as_array().unwrap().iter();
    tokens
        .map(|t| t["id"].as_str().unwrap().to_owned())
        .collect()
}
