//! Who is asked before a private key is used: by mode, by connection, by sandbox; and that nothing gets around it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use privyseal_proto::{INTERFACES, token_path};
use privyseal_tests::bytes::{Answer, Client};
use privyseal_tests::program::{Done, Program};
use privyseal_tests::{PIN, Run, World, WorldOptions, binary};
use privyseal_virtual_card::pcscd::in_private_place;

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";

/// A pinentry that answers GETPIN with the token's PIN, and CONFIRM with the file `pinentry.yes`.
const PERSON: &str = "D c4nary-97531\\nOK\\n';; CONFIRM) cat \"$0.yes\";; NEVER) printf '";

fn world(mode: &str, more: &str) -> World {
    let world = World::with(WorldOptions {
        pinentry: Some(PERSON),
        config: format!("\n[consent]\nmode = \"{mode}\"\n{more}"),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    world.write("pinentry.log", "");
    says(&world, "OK");
    world
}

/// What the person says to the next questions.
fn says(world: &World, answer: &str) {
    world.write("pinentry.yes", format!("{answer}\n"));
}

const NO: &str = "ERR 83886194 Not confirmed <Pinentry>";

/// How often the person was asked for a PIN, and for a yes, since the last look.
fn asked(world: &World) -> (usize, usize) {
    let log = String::from_utf8(world.read("pinentry.log")).unwrap();
    world.write("pinentry.log", "");
    let count = |word| log.lines().filter(|line| *line == word).count();
    (count("GETPIN"), count("CONFIRM"))
}

/// The command line where a person can be asked.
fn with_person(world: &World, args: &[&str]) -> Run {
    let mut command = world.command(binary("privyseal", false));
    let command = command.args(args).env("DISPLAY", ":99");
    Run::of(command.stdin(Stdio::null()).output().unwrap())
}

fn sha256(world: &World, name: &str) -> String {
    world.fingerprint(world.token_file(&format!("me-{name}.pem")))
}

fn signer(world: &World) -> String {
    format!("sha256:{}", sha256(world, "rsa-sign"))
}

fn token(world: &World) -> String {
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    let id = list["tokens"][0]["id"].as_str().unwrap().to_owned();
    token_path(&id).to_string()
}

#[track_caller]
fn ended(done: Done) -> String {
    let (response, results) = done.unwrap();
    match results.get("error") {
        Some(error) => <&str>::try_from(error)
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned(),
        None => {
            assert_eq!(response, 0);
            "ok".to_owned()
        }
    }
}

/// What can be done with a private key: the method, and how it is asked for. Gives the exit code (5: refused), or what stands for it.
type Operation = (&'static str, Box<dyn Fn(&World, bool) -> i32>);

fn by_command_line(method: &'static str, args: &'static [&'static str]) -> Operation {
    let run = move |world: &World, person: bool| {
        let _ = fs::remove_file(world.path("out"));
        let args = [args, &["-o", "out", "--json"]].concat();
        let run = match person {
            true => with_person(world, &args),
            false => world.privyseal(args),
        };
        assert_eq!(run.code == 0, world.path("out").exists(), "{run:?}");
        run.code
    };
    (method, Box::new(run))
}

fn by_program(method: &'static str, run: impl Fn(&World, &Program) -> Done + 'static) -> Operation {
    let run = move |world: &World, person: bool| {
        if !person {
            // these are jobs like the others: nobody answers
            says(world, NO);
        }
        let done = run(world, &Program::connect(world.bus_address()));
        match ended(done).as_str() {
            "ok" => 0,
            "Cancelled" | "NotAuthorized" => 5,
            other => panic!("{other}"),
        }
    };
    (method, Box::new(run))
}

/// A `…Bytes` call: it never asks.
fn at_once(method: &'static str, call: fn(&World) -> bool) -> Operation {
    let run = move |world: &World, _: bool| match call(world) {
        true => 0,
        false => 5,
    };
    (method, Box::new(run))
}

/// Whether it was done; else it was refused for want of consent.
fn done(answer: Answer) -> bool {
    match answer {
        Ok(_) => true,
        Err((name, _)) => {
            assert_eq!(name, "org.privyseal1.Error.NotAuthorized");
            false
        }
    }
}

fn operations() -> Vec<Operation> {
    vec![
        by_command_line("Sign", &["sign", "mail.txt", "-s", "token/me-rsa-sign.pem"]),
        by_command_line(
            "Sign",
            &[
                "sign",
                "mail.txt",
                "-s",
                "token/me-ec-sign.pem",
                "--form",
                "opaque",
            ],
        ),
        by_command_line(
            "SignAndEncrypt",
            &[
                "sign",
                "mail.txt",
                "-s",
                "token/me-rsa-sign.pem",
                "--encrypt-to",
                "token/peer-rsa.pem",
            ],
        ),
        by_command_line("Decrypt", &["decrypt", "secret-rsa"]),
        by_command_line("Decrypt", &["decrypt", "secret-ec"]),
        by_command_line("Open", &["mail", "open", "secret-rsa", "--even-if-bad"]),
        by_command_line("MakeReceipt", &["receipt", "make", "asked.eml"]),
        at_once("SignBytes", |world| {
            let client = Client::connect(world.bus_address());
            done(client.sign(MAIL.as_bytes(), &[("signer", &signer(world))]))
        }),
        at_once("DecryptBytes", |world| {
            let client = Client::connect(world.bus_address());
            done(client.decrypt(&world.read("secret-ec")))
        }),
        by_program("SignDigest", |world, program| {
            program.sign_digest(
                &sha256(world, "rsa-sign"),
                ("sha256", &[7; 32]),
                "rsa-pkcs1",
            )
        }),
        by_program("UnwrapKey", |world, program| {
            let key = sha256(world, "rsa-encrypt");
            program.unwrap_key(&key, "rsa-pkcs1", &[1; 256], 16, Default::default())
        }),
    ]
}

/// Methods of these interfaces that use no private key.
const KEYLESS: [&str; 7] = [
    "Verify",
    "Encrypt",
    "Compress",
    "Decompress",
    "CheckReceipt",
    "VerifyBytes",
    "EncryptBytes",
];

const KEY_INTERFACE: &str = "[key-interface]\nsign-digest = true\nunwrap-key = true\n";

fn prepare(world: &World) {
    for key in ["rsa", "ec"] {
        let to = format!("token/me-{key}-encrypt.pem");
        let out = format!("secret-{key}");
        world
            .privyseal(["encrypt", "mail.txt", "-r", &to, "--no-self", "-o", &out])
            .ok();
    }
    world
        .openssl(
            "cms -sign -in mail.txt -signer token/peer-rsa.pem -inkey token/peer-rsa.key -certfile token/intermediate.pem \
             -receipt_request_to bob@example.org -receipt_request_all -out asked.eml",
        )
        .ok();
}

#[test]
fn every_operation_with_a_private_key_is_asked_for_where_each_is_to_be_and_there_is_no_other() {
    let operations = operations();
    // whatever is added to these interfaces is added to one of the lists
    let ours: BTreeSet<&str> = operations
        .iter()
        .map(|(method, _)| *method)
        .chain(KEYLESS)
        .collect();
    let there: BTreeSet<&str> = INTERFACES
        .iter()
        .filter(|(name, _)| ["Cms", "Mail", "Key"].iter().any(|end| name.ends_with(end)))
        .flat_map(|(_, xml)| xml.lines())
        .filter_map(|line| {
            line.trim()
                .strip_prefix("<method name=\"")?
                .split('"')
                .next()
        })
        .collect();
    assert_eq!(ours, there);

    let world = world("each", KEY_INTERFACE);
    prepare(&world);
    world.unlock();
    let records = || {
        let all = world
            .privyseal(["audit", "--limit", "1000", "--json"])
            .ok()
            .json();
        let all = all["records"].as_array().unwrap().clone();
        let uses = ["sign", "unwrap", "derive"];
        let is_use = |r: &&serde_json::Value| uses.contains(&r["kind"].as_str().unwrap());
        all.iter().filter(is_use).cloned().collect::<Vec<_>>()
    };
    for (n, (method, run)) in operations.iter().enumerate() {
        let case = format!("{n}: {method}");
        let never_asks = method.ends_with("Bytes");
        asked(&world);
        let before = records().len();
        // nobody can be asked, or says yes
        assert_eq!(run(&world, false), 5, "{case}");
        let after = records();
        assert_eq!(after.len(), before + 1, "{case}: the refusal is recorded");
        assert_ne!(after[before]["result"], "ok", "{case}");
        if never_asks {
            assert_eq!(asked(&world), (0, 0), "{case}");
            continue;
        }
        says(&world, NO);
        assert_eq!(run(&world, true), 5, "{case}");
        asked(&world);
        says(&world, "OK");
        let before = records().len();
        assert_eq!(run(&world, true), 0, "{case}");
        assert_eq!(asked(&world), (0, 1), "{case}");
        let after = records();
        assert_eq!(after.len(), before + 1, "{case}: the use is recorded");
        assert_eq!(after[before]["consent"], "person", "{case}");
        assert_eq!(after[before]["result"], "ok", "{case}");
    }
}

#[test]
fn a_session_asks_nobody() {
    let world = world("session", KEY_INTERFACE);
    prepare(&world);
    world.unlock();
    for (n, (method, run)) in operations().iter().enumerate() {
        if !["SignDigest", "UnwrapKey"].contains(method) {
            assert_eq!(run(&world, false), 0, "{n}: {method}");
        }
        assert_eq!(run(&world, true), 0, "{n}: {method}");
    }
    assert_eq!(asked(&world), (0, 0));
}

#[test]
fn one_yes_serves_a_connection_until_it_ends_or_the_token_is_locked() {
    let world = world("connection", "");
    let (mail, me, token) = (world.path("mail.txt"), signer(&world), token(&world));
    world.unlock();
    let mutt = Program::connect(world.bus_address());
    let not_authorized = |program: &Program| {
        let (name, message) = program.sign_bytes(&me).unwrap_err();
        assert_eq!(name, "org.privyseal1.Error.NotAuthorized", "{message}");
    };
    not_authorized(&mutt);
    says(&world, NO);
    assert_eq!(ended(mutt.sign(&mail, &me)), "Cancelled");
    assert_eq!(asked(&world), (0, 1));
    not_authorized(&mutt);
    says(&world, "OK");
    assert_eq!(ended(mutt.sign(&mail, &me)), "ok");
    assert_eq!(asked(&world), (0, 1));
    // from now on it is served, by every method
    assert_eq!(ended(mutt.sign(&mail, &me)), "ok");
    mutt.sign_bytes(&me).unwrap();
    assert_eq!(asked(&world), (0, 0));
    // and nobody else
    let other = Program::connect(world.bus_address());
    not_authorized(&other);

    world.privyseal(["token", "lock"]).ok();
    world.unlock();
    not_authorized(&mutt);

    // who unlocks a token may use it
    world.privyseal(["token", "lock"]).ok();
    world.says_pin();
    assert_eq!(ended(other.unlock(&token, PIN)), "ok");
    other.sign_bytes(&me).unwrap();
    not_authorized(&mutt);
    // not who finds it unlocked
    world.says_pin();
    assert_eq!(ended(mutt.unlock(&token, PIN)), "ok");
    not_authorized(&mutt);
    assert_eq!(asked(&world), (0, 0));
}

#[test]
fn a_pin_that_is_typed_for_a_job_is_a_yes_to_one_use() {
    for mode in ["connection", "each"] {
        let world = world(mode, "");
        let sign = [
            "sign",
            "mail.txt",
            "-s",
            "token/me-rsa-sign.pem",
            "-o",
            "signed",
        ];
        with_person(&world, &sign).ok();
        assert_eq!(asked(&world), (1, 0), "{mode}");
        with_person(&world, &sign).ok();
        assert_eq!(asked(&world), (0, 1), "{mode}");
        // a PIN from a descriptor is not a person
        world.privyseal(["token", "lock"]).ok();
        world.unlock();
        with_person(&world, &sign).ok();
        assert_eq!(asked(&world), (0, 1), "{mode}");
    }
}

#[test]
fn the_pin_of_a_key_that_wants_it_at_every_use_is_the_question() {
    let world = World::with(WorldOptions {
        pinentry: Some(PERSON),
        config: "\n[consent]\nmode = \"each\"\n[pin]\nbatch-uses = 2\n".into(),
        pkcs11_tool: &[
            "--write-object token/peer-rsa.key --type privkey --id c1 --label each --always-auth --usage-sign",
            "--write-object token/peer-rsa.pem --type cert --id c1 --label each",
        ],
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    says(&world, "OK");
    world.unlock();
    let sign = [
        "sign",
        "mail.txt",
        "-s",
        "token/peer-rsa.pem",
        "-o",
        "signed",
    ];
    // the PIN that unlocked the token is kept for two uses: they are confirmed, the third is typed
    for wanted in [(0, 1), (0, 1), (1, 0)] {
        world.write("pinentry.log", "");
        with_person(&world, &sign).ok();
        assert_eq!(asked(&world), wanted);
    }
    let last = world
        .privyseal(["audit", "--limit", "1", "--json"])
        .ok()
        .json();
    let last = &last["records"][0];
    assert_eq!(
        (&last["kind"], &last["result"]),
        (&"key-pin".into(), &"ok".into())
    );
    let all = world.privyseal(["audit", "--json"]).ok().text();
    assert!(all.contains("\"consent\":\"pin\""), "{all}");
}

#[test]
fn the_question_says_who_asks_with_which_key_and_what_for() {
    let world = world("each", "");
    world.unlock();
    let mutt = Program::connect(world.bus_address());
    assert_eq!(
        ended(mutt.sign(&world.path("mail.txt"), &signer(&world))),
        "ok"
    );
    let log = String::from_utf8(world.read("pinentry.log")).unwrap();
    let question = log
        .lines()
        .find(|line| line.starts_with("SETDESC"))
        .unwrap();
    let serial = world.privyseal(["token", "list", "--json"]).ok().json();
    let serial = serial["tokens"][0]["serial"].as_str().unwrap().to_owned();
    for part in [
        "mutt (unverified",
        &format!("process {}", std::process::id()),
        &format!("user {}", rustix::process::geteuid().as_raw()),
        "sign a message",
        "rsa-sign",
        "privyseal-demo",
        &serial,
        "for this use",
    ] {
        assert!(question.contains(part), "{part}: {question}");
    }
}

/// A root of copies, with the file that Flatpak puts there, the command line, and another name of the bus's socket. Nothing is mounted.
fn sandbox(world: &World) {
    let root = world.path("sandbox");
    let program = binary("privyseal", false);
    let listed = world.run("ldd", [&program]).ok().text();
    let libraries = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for file in libraries {
        let copy = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
    fs::copy(program, root.join("privyseal")).unwrap();
    fs::copy(world.path("mail.txt"), root.join("mail.txt")).unwrap();
    fs::hard_link(world.path("bus"), root.join("bus")).unwrap();
    fs::write(
        root.join(".flatpak-info"),
        "[Application]\nname=org.example.Mail\n",
    )
    .unwrap();
}

fn from_sandbox(world: &World, args: &[&str]) -> Run {
    let mut command = world.command("chroot");
    command
        .arg(world.path("sandbox"))
        .arg("/privyseal")
        .args(args);
    // a display of its own is no place to ask at
    command.env("DISPLAY", ":99");
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/bus");
    Run::of(command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn who_is_in_a_sandbox_is_asked_about_where_others_are_not_and_on_no_display_of_its_own() {
    let name =
        "who_is_in_a_sandbox_is_asked_about_where_others_are_not_and_on_no_display_of_its_own";
    in_private_place(name, || {
        let mut world = world("session", "");
        sandbox(&world);
        world.unlock();
        let me = signer(&world);
        let sign = ["sign", "mail.txt", "-s", &me, "-o", "signed", "--json"];
        with_person(&world, &sign).ok();
        let refused = from_sandbox(&world, &sign).fails_with(5);
        assert_eq!(
            refused.json()["error"],
            "org.privyseal1.Error.NotAuthorized"
        );
        assert_eq!(asked(&world), (0, 0));

        assert_eq!(world.stop_daemon(), 0);
        world.set_env("DISPLAY", ":7");
        world.start_daemon();
        world.unlock();
        says(&world, NO);
        let refused = from_sandbox(&world, &sign).fails_with(5);
        assert_eq!(refused.json()["error"], "org.privyseal1.Error.Cancelled");
        let log = String::from_utf8(world.read("pinentry.log")).unwrap();
        for part in ["sandbox org.example.Mail", "OPTION display=:7"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert_eq!(asked(&world), (0, 1));
        says(&world, "OK");
        from_sandbox(&world, &sign).ok();
        assert_eq!(asked(&world), (0, 1));
        with_person(&world, &sign).ok();
        assert_eq!(asked(&world), (0, 0));
        // what others do is not for it
        from_sandbox(&world, &["audit"]).fails_with(5);
        let all = world.privyseal(["audit", "--json"]).ok().text();
        assert!(all.contains("\"sandbox\":\"org.example.Mail\""), "{all}");
    });
}
