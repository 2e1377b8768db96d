use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::check::report;
use super::file::{Places, load_from, merge, parse};
use super::folders::{Loose, private};
use super::*;

/// Every key with a value that is not its default.
const EVERYTHING: &str = r#"
[modules]
p11-kit = false
[[module]]
path = "/lib/one.so"
env = { NAME = "value" }
init-args = "args"
read = ["conf"]
write = ["tokens"]
devices = ["/dev/tpmrm0"]
network = true
hold = "never"
deadline = 20
[trust]
anchors = ["anchors"]
crls = ["/crls"]
[pki]
intermediates = ["~/ca.pem"]
certificates = ["../people"]
revocation = "required"
[pinentry]
program = "pinentry-gtk-2"
[pin]
lock-after = "10m"
max-uses = 100
batch-uses = 20
batch-seconds = 300
[consent]
mode = "each"
[audit]
max-kib = 64
[key-interface]
sign-digest = true
unwrap-key = true
[algorithms]
profile = "bsi"
read = "rfc8551"
files = ["company.toml"]
[sign]
signer = "alice@example.org"
digest = "SHA-384"
include-chain = "all"
[encrypt]
cipher = "aes128-cbc"
to-self = false
[labels]
clearance = { "1.2.3" = "secret", "1.2.4" = 256 }
unknown = "refuse"
"#;

fn parsed(text: &str) -> Result<file::Parsed, ConfigError> {
    let path = Path::new("/etc/privyseal/privyseal.toml");
    parse(path, text, Some(Path::new("/home/alice")))
}

/// A system's and a user's file, either of which may be missing.
fn places(system: Option<&str>, user: Option<&str>) -> (TempDir, Places) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: Option<&str>| {
        let path = folder.path().join(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        path
    };
    let places = Places {
        system: place("system.toml", system),
        user: Some(place("user.toml", user)),
        ..Places::default()
    };
    (folder, places)
}

#[test]
fn no_file_at_all_gives_the_defaults() {
    let (_folder, places) = places(None, None);
    let config = load_from(&places).unwrap();
    assert_eq!(config, Config::default());
    assert!(config.modules.p11_kit && config.encrypt.to_self);
    assert_eq!(config.encrypt.cipher, None);
    assert_eq!(config.algorithms.profile, "rfc8551");
    assert_eq!(config.algorithms.read, "legacy-read");
}

#[test]
fn every_key_survives_the_merge_and_paths_become_absolute() {
    let mut config = Config::default();
    merge(&mut config, parsed(EVERYTHING).unwrap());
    assert_eq!(config, parsed(EVERYTHING).unwrap().config);
    let path = |text: &str| PathBuf::from(text);
    assert_eq!(config.trust.anchors, [path("/etc/privyseal/anchors")]);
    assert_eq!(config.trust.crls, [path("/crls")]);
    assert_eq!(config.pki.intermediates, [path("/home/alice/ca.pem")]);
    assert_eq!(config.pki.certificates, [path("/etc/privyseal/../people")]);
    assert_eq!(config.module[0].read, [path("/etc/privyseal/conf")]);
    assert_eq!(config.module[0].init_args.as_deref(), Some("args"));
    assert_eq!(config.pinentry.program, Some(path("pinentry-gtk-2")));
    assert_eq!(
        config.pin.lock_after,
        Some(std::time::Duration::from_secs(600))
    );
    assert_eq!(config.sign.digest.as_deref(), Some("sha384"));
    assert_eq!(
        config.algorithms.files,
        [path("/etc/privyseal/company.toml")]
    );
    let levels: Vec<u16> = config.labels.clearance.values().copied().collect();
    assert_eq!(levels, [4, 256]);
    // a key that is here but was forgotten in the merge would have kept its default
    let default = format!("{:#?}", Config::default());
    let changed = format!("{config:#?}");
    let same: Vec<&str> = default
        .lines()
        .filter(|l| l.contains(": ") && !l.ends_with(['{', '[']))
        .filter(|l| changed.lines().any(|c| c == *l))
        .collect();
    assert_eq!(same, [""; 0]);
}

#[test]
fn the_users_keys_win_one_by_one_and_modules_add_up() {
    let (_folder, places) = places(
        Some("[sign]\ndigest = \"sha512\"\nsigner = \"a@b.c\"\n[[module]]\npath = \"/one.so\"\n"),
        Some("[sign]\nsigner = \"d@e.f\"\n[[module]]\npath = \"/two.so\"\n"),
    );
    let config = load_from(&places).unwrap();
    assert_eq!(config.sign.digest.as_deref(), Some("sha512"));
    assert_eq!(config.sign.signer.as_deref(), Some("d@e.f"));
    let modules: Vec<_> = config.module.iter().map(|m| m.path.as_path()).collect();
    assert_eq!(modules, [Path::new("/one.so"), Path::new("/two.so")]);
}

#[test]
fn a_named_file_replaces_both_and_must_be_there() {
    let (folder, mut places) = places(Some("nonsense"), Some("nonsense"));
    places.named = Some(folder.path().join("named.toml"));
    let error = load_from(&places).unwrap_err().to_string();
    assert!(error.contains("named.toml"), "{error}");
    fs::write(folder.path().join("named.toml"), "").unwrap();
    assert_eq!(load_from(&places).unwrap(), Config::default());
}

#[test]
fn errors_name_line_column_and_what_would_be_right() {
    for (text, line, column, what) in [
        (
            "[sign]\ndigst = \"sha256\"\n",
            2,
            1,
            "unknown field `digst`, expected one of `signer`, `digest`",
        ),
        ("[sgin]\n", 1, 2, "unknown field `sgin`"),
        (
            "[modules]\np11-kit = \"yes\"\n",
            2,
            11,
            "expected a boolean",
        ),
        ("\n[sign]\n  digest = \"md5\"\n", 3, 12, "use \"sha256\""),
        ("[sign]\ndigest = \"sha1\"\n", 2, 10, "too weak"),
        (
            "[sign]\ninclude-chain = \"most\"\n",
            2,
            17,
            "\"leaf\", \"no-root\", \"all\"",
        ),
        (
            "[pki]\nrevocation = \"on\"\n",
            2,
            14,
            "\"off\", \"soft\", \"leaf\", \"required\"",
        ),
        (
            "[encrypt]\ncipher = \"rot13\"\n",
            2,
            10,
            "use \"aes256-gcm\"",
        ),
        ("[pinentry]\nprogram = \"\"\n", 2, 11, "leave the key out"),
        ("[pin]\nlock-after = \"10\"\n", 2, 14, "such as \"90s\""),
        ("[pin]\nlock-after = \"25h\"\n", 2, 14, "\"24h\""),
        ("[pin]\nlock-after = \"ü\"\n", 2, 14, "such as"),
        ("[pin]\nmax-uses = 0\n", 2, 12, "leave the key out"),
        ("[pin]\nbatch-seconds = 86401\n", 2, 17, "more than 86400"),
        (
            "[labels]\nunknown = \"ask\"\n",
            2,
            11,
            "expected `show` or `refuse`",
        ),
        (
            "[labels]\nclearance = { \"1.2.3\" = 257 }\n",
            2,
            13,
            "no classification",
        ),
        (
            "[labels]\nclearance = { acme = 1 }\n",
            2,
            13,
            "no object identifier",
        ),
        (
            "[[module]]\npath = \"/a.so\"\n[[module]]\npath = \"/b.so\"\nhold = \"ever\"\n",
            5,
            8,
            "\"unlocked\", \"never\"",
        ),
        (
            "[[module]]\npath = \"/a.so\"\ndeadline = 0\n",
            3,
            12,
            "within 1 and 3600",
        ),
        ("[[module]]\nenv = {}\n", 1, 1, "missing field `path`"),
        ("[trust]\nanchors = [\n  1,\n]\n", 3, 3, "expected"),
        ("# ü\nä = [\"x\n", 2, 1, ""),
        ("[trust\n", 1, 7, ""),
    ] {
        match parsed(text).err() {
            Some(ConfigError::Invalid {
                line: l,
                column: c,
                what: w,
                ..
            }) => {
                assert!(w.contains(what), "{text}: {w}");
                if !what.is_empty() {
                    assert_eq!((l, c), (line, column), "{text}: {w}");
                }
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let error = parsed("[sign]\ndigst = 1\n").err().unwrap().to_string();
    assert!(
        error.starts_with("/etc/privyseal/privyseal.toml:2:1: "),
        "{error}"
    );
    assert!(error.ends_with("run `privyseal config check`"), "{error}");
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_an_error() {
    let (_folder, places) = places(None, None);
    fs::write(&places.system, [0xff, 0xfe]).unwrap();
    assert!(
        load_from(&places)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
    let spaces = |n: usize| fs::write(&places.system, vec![b'\n'; n]).unwrap();
    spaces(1 << 20);
    assert!(load_from(&places).is_ok());
    spaces((1 << 20) + 1);
    let error = load_from(&places).unwrap_err().to_string();
    assert!(error.contains("larger than 1 MiB"), "{error}");
}

#[test]
fn the_check_lists_all_problems_at_once() {
    let (folder, places) = places(
        Some("[sign]\ndigest = \"md5\"\n"),
        Some(
            "[trust]\nanchors = [\"no-anchor.pem\", \"text.pem\"]\ncrls = [\"no.crl\"]\n\
             [[module]]\npath = \"no-module.so\"\n[[module]]\npath = \"/etc\"\n\
             [pinentry]\nprogram = \"/no/pinentry\"\n",
        ),
    );
    fs::write(folder.path().join("text.pem"), "hello").unwrap();
    let mut everybody = fs::metadata(&places.system).unwrap().permissions();
    everybody.set_mode(0o666);
    fs::set_permissions(&places.system, everybody).unwrap();
    let text = report(&places).unwrap_err();
    let problems: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("problem: "))
        .collect();
    assert_eq!(problems.len(), 8, "{text}");
    for part in [
        "chmod o-w",
        "system.toml:2:10: digest \"md5\" is too weak",
        "no-anchor.pem",
        "text.pem",
        "no.crl",
        "no-module.so: No such file",
        "/etc is not a file",
        "/no/pinentry is not found",
    ] {
        assert!(problems.iter().any(|p| p.contains(part)), "{part}: {text}");
    }
}

#[test]
fn the_check_says_what_was_read() {
    let (_folder, places) = places(None, Some("[modules]\np11-kit = false\n"));
    let text = report(&places).unwrap();
    assert!(text.contains("system.toml: not there"), "{text}");
    assert!(text.contains("user.toml: read"));
    assert!(text.contains("modules: 0 of the configuration\n"));
    assert!(text.contains("note: no trust anchor"));
}

#[test]
fn a_folder_below_home_is_made_private() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("a/privyseal");
    private(&folder, Loose::Mend).unwrap();
    let mode = || fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    private(&folder, Loose::Mend).unwrap();
    assert_eq!(mode(), 0o700);
}

#[test]
fn a_folder_in_tmp_is_refused_unless_it_is_ours_alone() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("ours");
    private(&folder, Loose::Refuse).unwrap();
    private(&folder, Loose::Refuse).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(private(&folder, Loose::Refuse).is_err());
    let link = base.path().join("link");
    symlink(base.path(), &link).unwrap();
    assert!(private(&link, Loose::Refuse).is_err());
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(private(&file, Loose::Refuse).is_err());
    assert!(private(&file, Loose::Mend).is_err());
}

/// What the shipped file shows behind `#key` (prose has a blank after the `#`).
#[test]
fn every_option_that_the_shipped_file_shows_exists() {
    let text = include_str!("../../../data/privyseal.toml");
    let shown: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') => option,
            _ => line,
        })
        .collect();
    let shown = shown.join("\n");
    parsed(&shown).unwrap();
    let shown: toml::Table = toml::from_str(&shown).unwrap();
    let everything: toml::Table = toml::from_str(EVERYTHING).unwrap();
    for (name, value) in &everything {
        let keys = |value: &toml::Value| -> Vec<String> {
            let table = value.get(0).unwrap_or(value).as_table();
            table.unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&shown[name]), keys(value), "[{name}]");
    }
}

/// A configuration of these lines, with a profile of the company beside it.
fn with_profile(lines: &str, company: &str) -> (TempDir, Places) {
    let (folder, places) = places(Some(lines), None);
    fs::create_dir(folder.path().join("profiles")).unwrap();
    fs::write(folder.path().join("profiles/company.toml"), company).unwrap();
    fs::write(folder.path().join("profiles/README"), "no profile").unwrap();
    (folder, places)
}

const COMPANY: &str =
    "name = \"company\"\nextends = \"bsi\"\n[write]\nciphers = [\"aes128-gcm\"]\n";

#[test]
fn a_company_s_profile_is_found_in_its_folder_and_used() {
    let lines = "[algorithms]\nprofile = \"company\"\nfiles = [\"profiles\"]\n";
    let (_folder, places) = with_profile(lines, COMPANY);
    let config = load_from(&places).unwrap();
    let all = profiles(&config).unwrap();
    assert!(all.get("company").is_some());
    let text = report(&places).unwrap();
    for part in [
        "written by the profile company, read by legacy-read",
        "there are br-strict, bsi, company, edi-energy, legacy-read, rfc8551",
        "encryption: aes128-gcm",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_profile_that_is_wrong_or_not_there_or_forbids_the_rest_is_a_problem() {
    let files = "files = [\"profiles\"]\n";
    for (lines, company, problem) in [
        (
            format!("[algorithms]\n{files}"),
            "name = \"company\"\nextends = \"bsi\"\n[write]\nciphers = [\"aes128-gcm\",\n \"rot13\"]\n",
            "company.toml:5:2: [write] ciphers: \"rot13\" is not a cipher",
        ),
        (
            "[algorithms]\nread = \"company\"\n".into(),
            COMPANY,
            "[algorithms] read: no profile is called \"company\"; there are br-strict",
        ),
        (
            "[algorithms]\nfiles = [\"nowhere.toml\"]\n".into(),
            COMPANY,
            "nowhere.toml",
        ),
        (
            "[algorithms]\nprofile = \"edi-energy\"\n[sign]\ndigest = \"sha384\"\n".into(),
            COMPANY,
            "[sign] digest: the profile edi-energy does not write the digest sha384 (it allows: sha256, sha512)",
        ),
        (
            "[algorithms]\nprofile = \"edi-energy\"\n[encrypt]\ncipher = \"aes256-cbc\"\n".into(),
            COMPANY,
            "[encrypt] cipher: the profile edi-energy does not write the cipher aes256-cbc",
        ),
    ] {
        let (_folder, places) = with_profile(&lines, company);
        let text = report(&places).unwrap_err();
        assert!(
            text.lines()
                .any(|line| line.starts_with("problem: ") && line.contains(problem)),
            "{problem}: {text}"
        );
    }
}

/// What is in force under these rules and this configuration.
fn ruled(rules: &[&str], user: &str) -> Result<Config, ConfigError> {
    let (folder, mut places) = places(None, Some(user));
    places.policy = folder.path().join("policy.d");
    fs::create_dir(&places.policy).unwrap();
    for (n, rule) in rules.iter().enumerate() {
        fs::write(places.policy.join(format!("{n}.toml")), rule).unwrap();
    }
    load_from(&places)
}

#[test]
fn consent_is_made_stricter_by_rules_and_never_laxer() {
    let mode = |rules: &[&str], user: &str| ruled(rules, user).unwrap().consent.mode;
    assert_eq!(mode(&[], ""), ConsentMode::Session);
    let (session, connection, each) = (
        "[consent]\nmode = 'session'",
        "[consent]\nmode = 'connection'",
        "[consent]\nmode = 'each'",
    );
    assert_eq!(mode(&[connection], session), ConsentMode::Connection);
    assert_eq!(mode(&[connection], each), ConsentMode::Each);
    assert_eq!(mode(&[session], connection), ConsentMode::Connection);
    assert_eq!(mode(&[each, connection], session), ConsentMode::Each);
    assert_eq!(mode(&[connection, each], session), ConsentMode::Each);
}

#[test]
fn raw_operations_are_off_until_somebody_allows_them_and_no_rule_forbids_them() {
    let on = "[key-interface]\nsign-digest = true\nunwrap-key = true";
    let off = "[key-interface]\nunwrap-key = false";
    let shown = |rules: &[&str], user: &str| {
        let interface = ruled(rules, user).unwrap().key_interface;
        assert_eq!(
            interface.is_there(),
            interface.sign_digest || interface.unwrap_key
        );
        (interface.sign_digest, interface.unwrap_key)
    };
    assert_eq!(shown(&[], ""), (false, false));
    assert_eq!(shown(&[], on), (true, true));
    assert_eq!(shown(&[on], ""), (true, true));
    assert_eq!(shown(&[off], on), (true, false));
    assert_eq!(shown(&[off, on], on), (true, false));
    assert_eq!(shown(&[on, off], on), (true, false));
}

#[test]
fn rules_that_cannot_be_read_are_an_error_and_not_no_rules() {
    let error = ruled(&["[consent]\nmode = 'sometimes'"], "").unwrap_err();
    assert!(error.to_string().contains("0.toml:2:8"), "{error}");
    ruled(&["[pin]\nmax-uses = 1"], "").unwrap_err();
    let (folder, mut places) = places(None, None);
    places.policy = folder.path().join("policy.d");
    fs::write(&places.policy, "a file").unwrap();
    load_from(&places).unwrap_err();
    assert!(report(&places).unwrap_err().contains("problem: "));
}
