use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use super::assuan::{LINE_MAX, Line, Lines, decode_pin, parse};
use super::*;
use crate::descriptor::{Deadline, poll};

/// Everything here is over long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fake program in a folder of its own; `answer` is shell.
struct Fake {
    folder: TempDir,
}

impl Fake {
    fn new(answer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pinentry/fake-pinentry.sh");
        symlink(script, folder.path().join("pinentry")).unwrap();
        fs::write(folder.path().join("answer"), answer).unwrap();
        Fake { folder }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("pinentry")
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn ask(&self) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
        let control = Control::new().unwrap();
        let program = self.program();
        pin(
            Some(&program),
            &on_display(),
            None,
            uid(),
            &request(),
            &control,
            PATIENCE,
        )
    }
}

fn on_display() -> ClientContext {
    ClientContext {
        display: Some(":99".into()),
        ..ClientContext::default()
    }
}

fn request() -> PinRequest {
    PinRequest {
        title: "Privyseal".into(),
        description: "Unlock the token \"100 %\"\nto sign".into(),
        prompt: "PIN:".into(),
        error: None,
    }
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn unavailable(result: Result<Zeroizing<Vec<u8>>, PinentryError>) -> String {
    match result {
        Err(PinentryError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Waits for something that another process does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !done() {
        assert!(!deadline.left().is_zero(), "waited too long for {what}");
        thread::yield_now();
    }
}

#[test]
fn a_pin_comes_back_decoded() {
    let fake = Fake::new(
        "echo '# a comment'; echo 'S a status'; echo 'D a%25b+c%0D d%c3%a9'; echo 'D !'; echo OK",
    );
    assert_eq!(fake.ask().unwrap().as_slice(), "a%b+c\r dé!".as_bytes());
}

#[test]
fn the_program_is_told_what_to_show_and_nothing_about_caches() {
    let fake = Fake::new("echo 'D 1234'; echo OK");
    let control = Control::new().unwrap();
    let context = ClientContext {
        lc_ctype: Some("de_DE.UTF-8".into()),
        lc_messages: Some("de_DE.UTF-8".into()),
        parent_window: Some("x11:0x1f".into()),
        xauthority: Some("/home/u/.Xauthority".into()),
        ..on_display()
    };
    let request = PinRequest {
        error: Some("wrong\u{1b}[2J PIN\u{202e}".into()),
        ..request()
    };
    ask_pin(
        Some(&fake.program()),
        &context,
        None,
        uid(),
        &request,
        &control,
    )
    .unwrap();
    let told = fake.file("told");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(
        told,
        [
            "OPTION display=:99",
            "OPTION grab",
            "OPTION parent-wid=31",
            "OPTION lc-ctype=de_DE.UTF-8",
            "OPTION lc-messages=de_DE.UTF-8",
            "SETTIMEOUT 120",
            "SETTITLE Privyseal",
            "SETDESC Unlock the token \"100 %25\"%0Ato sign",
            "SETERROR wrong [2J PIN\u{fffd}",
            "SETPROMPT PIN:",
            "GETPIN",
            "BYE",
        ]
    );
    let environment = fake.file("environment");
    assert!(environment.contains("DISPLAY=:99\n"), "{environment}");
    assert!(environment.contains("XAUTHORITY=/home/u/.Xauthority\n"));
    assert!(
        !environment.contains("CARGO_"),
        "the daemon's environment is not handed on"
    );
}

#[test]
fn an_empty_entry_is_asked_again_and_never_used() {
    let fake = Fake::new("[ -e \"$here/again\" ] && echo 'D 1234'; : >\"$here/again\"; echo OK");
    assert_eq!(fake.ask().unwrap().as_slice(), b"1234");
    assert!(
        fake.file("told")
            .contains("SETERROR No PIN was typed.\nGETPIN\n")
    );
    assert_eq!(Fake::new("echo OK").ask(), Err(PinentryError::Cancelled));
}

#[test]
fn error_codes_have_their_meaning() {
    let pinentry = |code: u32| Fake::new(&format!("echo 'ERR {code} text <Pinentry>'")).ask();
    assert_eq!(pinentry(83_886_179), Err(PinentryError::Cancelled));
    assert_eq!(pinentry(99), Err(PinentryError::Cancelled));
    assert_eq!(pinentry(83_886_278), Err(PinentryError::Cancelled));
    assert_eq!(pinentry(83_886_142), Err(PinentryError::Timeout));
    assert!(unavailable(pinentry(83_918_929)).contains("text <Pinentry>"));
}

#[test]
fn a_question_is_answered_yes_no_or_not_at_all() {
    let confirm = |answer: &str| {
        let fake = Fake::new(answer);
        let control = Control::new().unwrap();
        let answer = confirm(
            Some(&fake.program()),
            &on_display(),
            None,
            uid(),
            &request(),
            &control,
        );
        assert!(
            fake.file("told")
                .contains("SETOK Yes\nSETCANCEL No\nCONFIRM\n")
        );
        answer
    };
    assert_eq!(confirm("echo OK"), Ok(true));
    assert_eq!(
        confirm("echo 'ERR 83886194 Not confirmed <Pinentry>'"),
        Ok(false)
    );
    assert_eq!(
        confirm("echo 'ERR 83886179 Operation cancelled <Pinentry>'"),
        Err(PinentryError::Cancelled)
    );
}

#[test]
fn what_is_not_assuan_is_refused_and_quickly() {
    for (answer, why) in [
        ("echo hello", "not Assuan"),
        ("echo 'ERR what'", "an error without a number"),
        (
            "head -c 2000000 /dev/zero | tr '\\0' x",
            "more than 1000 bytes",
        ),
        ("while echo 'S again'; do :; done", "without an end"),
        ("echo 'D %zz'; echo OK", "hexadecimal"),
        ("echo 'D 12%0034'; echo OK", "NUL"),
        (
            "echo \"D $(head -c 256 /dev/zero | tr '\\0' 1)\"; echo OK",
            "255",
        ),
        ("exit 0", "ended by itself"),
    ] {
        let said = unavailable(Fake::new(answer).ask());
        assert!(said.contains(why), "{answer}: {said}");
    }
}

#[test]
fn a_pin_of_255_bytes_is_taken() {
    let answer = "echo \"D $(head -c 255 /dev/zero | tr '\\0' 1)\"; echo OK";
    assert_eq!(Fake::new(answer).ask().unwrap().as_slice(), [b'1'; 255]);
}

#[test]
fn programs_that_are_no_pinentry_are_named_in_the_error() {
    let control = Control::new().unwrap();
    let ask = |program: &str| {
        unavailable(ask_pin(
            Some(Path::new(program)),
            &on_display(),
            None,
            uid(),
            &request(),
            &control,
        ))
    };
    assert!(ask("/bin/false").contains("/bin/false ended by itself"));
    assert!(ask("/nowhere/pinentry").contains("install a pinentry or set [pinentry] program"));
    assert!(ask("no-such-pinentry").contains("no-such-pinentry is not found"));
    assert!(
        ask("../bin/false").contains("not found"),
        "a name is no path"
    );
    assert!(ask("/etc/passwd").contains("not found"), "not executable");
}

#[test]
fn cancel_ends_a_prompt_and_all_that_it_started() {
    let fake = Fake::new("sleep 1000 & echo $! >\"$here/sleeper\"; wait");
    let control = Control::new().unwrap();
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            ask_pin(
                Some(&fake.program()),
                &on_display(),
                None,
                uid(),
                &request(),
                &control,
            )
        });
        let sleeper = fake.folder.path().join("sleeper");
        until("the prompt", || {
            fs::read_to_string(&sleeper).is_ok_and(|t| t.ends_with('\n'))
        });
        control.cancel();
        assert_eq!(asking.join().unwrap(), Err(PinentryError::Cancelled));
    });
    let sleeper = format!("/proc/{}/stat", fake.file("sleeper").trim());
    // nobody may reap it here: a zombie is as good as gone
    until("the sleeper's end", || {
        fs::read_to_string(&sleeper).map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_prompt_that_nobody_answers_times_out() {
    let fake = Fake::new("trap '' TERM; exec sleep 1000");
    let control = Control::new().unwrap();
    let asked = pin(
        Some(&fake.program()),
        &on_display(),
        None,
        uid(),
        &request(),
        &control,
        Duration::from_millis(200),
    );
    assert_eq!(asked, Err(PinentryError::Timeout));
}

/// A terminal: our end, and the name of the other.
fn terminal() -> (OwnedFd, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    (master, name.into_string().unwrap())
}

fn opened(path: &str) -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

#[test]
fn only_a_terminal_of_the_caller_is_used() {
    let (_master, name) = terminal();
    let (_other_master, other) = terminal();
    let fd = opened(&name);
    let options = |tty: &str, fd: Option<&OwnedFd>, uid: u32| {
        let context = ClientContext {
            tty: Some(tty.into()).filter(|t: &String| !t.is_empty()),
            ttytype: Some("xterm".into()),
            ..ClientContext::default()
        };
        place(&context, fd, uid).map(|p| p.options)
    };
    let wanted = Ok(vec![
        format!("OPTION ttyname={name}"),
        "OPTION ttytype=xterm".into(),
    ]);
    assert_eq!(options(&name, None, uid()), wanted);
    assert_eq!(options(&name, Some(&fd), uid()), wanted);
    assert_eq!(options("", Some(&fd), uid()), wanted);
    for (tty, fd, uid, why) in [
        (name.as_str(), None, uid() + 1, "does not belong"),
        (other.as_str(), Some(&fd), uid(), "is not the terminal"),
        ("/dev/tty", None, uid(), "not the name of a terminal"),
        (
            "/dev/pts/../pts/0",
            None,
            uid(),
            "not the name of a terminal",
        ),
        ("/etc/passwd", None, uid(), "not the name of a terminal"),
        ("/dev", None, uid(), "not the name of a terminal"),
        ("/dev/pts/999999", None, uid(), "No such file"),
        ("/dev/shm", None, uid(), "is not a terminal"),
        ("/dev/pts/0\nGETPIN", None, uid(), "printable word"),
        ("", None, uid(), "neither a display nor a terminal"),
    ] {
        let said = options(tty, fd, uid).unwrap_err();
        assert!(said.contains(why), "{tty:?}: {said}");
    }
}

#[test]
fn a_foreign_terminal_beside_a_display_is_left_out() {
    let (_master, name) = terminal();
    let context = ClientContext {
        tty: Some(name),
        ..on_display()
    };
    let options = place(&context, None, uid() + 1).unwrap().options;
    assert!(
        !options.iter().any(|o| o.contains("ttyname")),
        "{options:?}"
    );
    assert!(place(&context, None, uid()).unwrap().options.len() > options.len());
}

#[test]
fn the_real_curses_pinentry_asks_on_the_callers_terminal() {
    let program = Path::new("/usr/bin/pinentry-curses");
    let (master, name) = terminal();
    // a terminal that nobody has open says EIO on our end
    let _kept_open = opened(&name);
    let context = ClientContext {
        tty: Some(name),
        ttytype: Some("xterm".into()),
        lc_ctype: Some("C.UTF-8".into()),
        ..ClientContext::default()
    };
    let control = Control::new().unwrap();
    let asked = thread::scope(|scope| {
        let asking =
            scope.spawn(|| ask_pin(Some(program), &context, None, uid(), &request(), &control));
        let screen = screen_with(&master, "PIN:");
        assert!(screen.contains("Unlock the token"), "{screen}");
        rustix::io::write(&master, b"12%34\r").unwrap();
        asking.join().unwrap()
    });
    assert_eq!(asked.unwrap().as_slice(), b"12%34");
}

#[test]
fn the_real_curses_pinentry_puts_the_terminal_back_when_it_is_cancelled() {
    let program = Path::new("/usr/bin/pinentry-curses");
    let (master, name) = terminal();
    let tty = opened(&name);
    let before = rustix::termios::tcgetattr(&tty).unwrap().local_modes;
    let context = ClientContext {
        tty: Some(name),
        ttytype: Some("xterm".into()),
        ..ClientContext::default()
    };
    let control: Arc<Control> = Control::new().unwrap();
    thread::scope(|scope| {
        let asking =
            scope.spawn(|| ask_pin(Some(program), &context, None, uid(), &request(), &control));
        screen_with(&master, "PIN:");
        let during = rustix::termios::tcgetattr(&tty).unwrap().local_modes;
        assert_ne!(during, before, "curses changes the terminal");
        control.cancel();
        assert_eq!(asking.join().unwrap(), Err(PinentryError::Cancelled));
    });
    let after = rustix::termios::tcgetattr(&tty).unwrap().local_modes;
    assert_eq!(after, before);
}

/// What the terminal shows, once `text` is in it.
fn screen_with(master: &OwnedFd, text: &str) -> String {
    let deadline = Deadline::after(PATIENCE);
    let mut screen = String::new();
    while !screen.contains(text) {
        let mut fds = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        assert!(poll(&mut fds, &deadline).unwrap(), "{screen}");
        let mut buffer = [0u8; 4096];
        let read = rustix::io::read(master, &mut buffer).unwrap();
        screen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    screen
}

#[test]
fn a_long_description_is_cut_to_a_line() {
    let line = command("SETDESC", &"%".repeat(2000));
    assert!(line.len() < LINE_MAX && line.len() > LINE_MAX - 10);
    assert!(line.ends_with("%25…"));
    assert_eq!(command("SETDESC", "ü\r\n"), "SETDESC ü%0A");
}

#[test]
fn lines_are_cut_wherever_they_arrive() {
    let mut lines = Lines::new();
    let text = b"OK hello\nD 12\r\nERR 83886179 no\n";
    let mut seen = Vec::new();
    for byte in text {
        lines
            .fill(|room| {
                room[0] = *byte;
                Ok(1)
            })
            .unwrap();
        if lines.has_line().unwrap() {
            seen.push(String::from_utf8(lines.next().unwrap().to_vec()).unwrap());
        }
    }
    assert_eq!(seen, ["OK hello", "D 12", "ERR 83886179 no"]);
    assert_eq!(parse(b"ERR 83886179 no"), Ok(Line::Err(99, "no".into())));
    assert_eq!(parse(b"D "), Ok(Line::Data(b"")));
    assert!(parse(b"").is_err());
}

#[test]
fn a_line_of_1000_bytes_is_read_and_a_longer_one_is_not() {
    for (length, fits) in [(999, true), (1000, false)] {
        let mut lines = Lines::new();
        lines
            .fill(|room| {
                room[..length].fill(b'x');
                room[length] = b'\n';
                Ok(length + 1)
            })
            .unwrap();
        assert_eq!(lines.has_line().is_ok(), fits, "{length}");
    }
}

#[test]
fn a_pin_never_outgrows_its_buffer() {
    let mut pin = Zeroizing::new(Vec::with_capacity(255));
    let before = pin.as_ptr();
    decode_pin(&[b'1'; 255], &mut pin).unwrap();
    assert!(decode_pin(b"1", &mut pin).is_err());
    assert_eq!(pin.as_ptr(), before);
}
