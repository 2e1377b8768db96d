use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc;
use std::thread;

use rustix::fs::{MemfdFlags, Mode, fcntl_add_seals, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, openpt};

use super::stream::Way;
use super::*;

const SHORT: Duration = Duration::from_millis(50);
/// Everything here is over long before.
const PATIENCE: Duration = Duration::from_secs(30);

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}

fn control() -> Arc<Control> {
    Control::with_deadline(PATIENCE).unwrap()
}

fn impatient() -> Arc<Control> {
    Control::with_deadline(SHORT).unwrap()
}

fn device(path: &str) -> OwnedFd {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.unwrap().into()
}

/// A file with `text`, and the client's own descriptor of it, at `offset`.
fn file(text: &[u8], offset: u64) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file
}

fn shared(file: &impl AsFd) -> OwnedFd {
    file.as_fd().try_clone_to_owned().unwrap()
}

fn smime(error: io::Error) -> Error {
    error.into()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn dev_null_means_none_where_something_may_be_missing() {
    let control = control();
    let spool = tempfile::tempdir().unwrap();
    assert!(
        input(device("/dev/null"), &control, spool.path())
            .unwrap()
            .is_none()
    );
    assert!(output(device("/dev/null"), &control).unwrap().is_none());
    let refused = reader(device("/dev/null"), &control).err().unwrap();
    assert_eq!(refused.name, ErrorName::InvalidArgument);
    assert!(refused.message.contains("/dev/null"));
}

#[test]
fn what_cannot_carry_a_message_is_refused_by_name() {
    let control = control();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    let (read_end, write_end) = pipe();
    let path_only =
        rustix::fs::open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let sealed = memfd_create("sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
    let folder: OwnedFd = File::open("/").unwrap().into();
    for (fd, direction, why) in [
        (terminal, Direction::Read, "is a terminal"),
        (device("/dev/zero"), Direction::Read, "is a device"),
        (device("/dev/full"), Direction::Write, "is a device"),
        (folder, Direction::Read, "is a folder"),
        (datagrams.into(), Direction::Read, "socket of packets"),
        (write_end, Direction::Read, "not open for reading"),
        (read_end, Direction::Write, "not open for writing"),
        (path_only, Direction::Read, "O_PATH"),
        (sealed, Direction::Write, "sealed"),
    ] {
        let refused = match direction {
            Direction::Read => reader(fd, &control).err(),
            Direction::Write => output(fd, &control).err(),
        };
        let refused = refused.unwrap();
        assert_eq!(refused.name, ErrorName::InvalidArgument);
        assert!(refused.message.contains(why), "{why}: {}", refused.message);
    }
}

#[test]
fn a_file_is_read_from_the_clients_offset_which_stays() {
    let text = pattern(3 << 20);
    let mut client = file(&text, 1000);
    let control = control();
    let bytes = all(reader(shared(&client), &control).unwrap());
    assert_eq!(bytes, text[1000..]);
    assert_eq!(client.stream_position().unwrap(), 1000);
    let length = (text.len() - 1000) as u64;
    assert_eq!(control.progress(), (length, length));
}

#[test]
fn a_file_is_written_at_the_clients_offset_which_stays() {
    let mut client = file(b"0123456789", 4);
    let mut writer = output(shared(&client), &control()).unwrap().unwrap();
    writer.write_all(b"ab").unwrap();
    writer.write_all(b"cd").unwrap();
    drop(writer);
    assert_eq!(client.stream_position().unwrap(), 4);
    client.rewind().unwrap();
    assert_eq!(all(&client), b"0123abcd89");
}

#[test]
fn a_file_opened_to_append_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "before ").unwrap();
    let mut client = OpenOptions::new().append(true).open(&path).unwrap();
    let mut writer = output(shared(&client), &control()).unwrap().unwrap();
    writer.write_all(b"after").unwrap();
    drop(writer);
    assert_eq!(client.stream_position().unwrap(), 0);
    assert_eq!(std::fs::read(&path).unwrap(), b"before after");
}

#[test]
fn a_full_disk_is_named() {
    let mut full = FileWriter::new(device("/dev/full"), 0, &control());
    assert!(matches!(
        smime(full.write(b"x").unwrap_err()),
        Error::NoSpace
    ));
}

#[test]
fn a_pass_over_a_file_and_a_pipe_gives_the_same_each_time() {
    let text = pattern(1 << 20);
    let spool = tempfile::tempdir().unwrap();
    let (read_end, write_end) = pipe();
    let (socket, mut other) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| File::from(write_end).write_all(&text).unwrap());
        scope.spawn(|| {
            other.write_all(&text).unwrap();
            drop(other);
        });
        for (fd, known) in [
            (shared(&file(&text, 0)), true),
            (read_end, false),
            (socket.into(), false),
        ] {
            let control = control();
            let (_kept, sink) = pipe();
            let _output = output(sink, &control).unwrap();
            let mut input = input(fd, &control, spool.path()).unwrap().unwrap();
            let length = text.len() as u64;
            let expected = if known { 2 * length } else { 0 };
            assert_eq!(control.progress(), (0, expected));
            for pass in 1..=3u64 {
                assert!(all(input.pass().unwrap()) == text);
                assert_eq!(control.progress(), (pass * length, pass.max(2) * length));
            }
        }
    });
}

#[test]
fn a_message_judged_without_being_written_is_expected_once() {
    let spool = tempfile::tempdir().unwrap();
    let control = control();
    let client = file(b"12345", 0);
    let mut input = input(shared(&client), &control, spool.path())
        .unwrap()
        .unwrap();
    assert_eq!(all(input.pass().unwrap()), b"12345");
    assert_eq!(control.progress(), (5, 5));
}

/// Both ends of a stream: ours, made by `way`, and the client's.
fn stream(way: Way, direction: Direction) -> (OwnedFd, OwnedFd) {
    match (way, direction) {
        (Way::Socket, _) => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (ours.into(), theirs.into())
        }
        (_, Direction::Read) => pipe(),
        (_, Direction::Write) => {
            let (read_end, write_end) = pipe();
            (write_end, read_end)
        }
    }
}

fn stream_reader(way: Way, fd: OwnedFd, control: &Arc<Control>) -> StreamReader {
    match way {
        Way::Poll => StreamReader::by(Way::Poll, fd, control, None),
        _ => StreamReader::new(fd, control, None),
    }
}

fn stream_writer(way: Way, fd: OwnedFd, control: &Arc<Control>) -> StreamWriter {
    match way {
        Way::Poll => StreamWriter::by(Way::Poll, fd, control),
        _ => StreamWriter::new(fd, control),
    }
}

const WAYS: [Way; 3] = [Way::Own, Way::Socket, Way::Poll];

#[test]
fn megabytes_pass_through_every_kind_of_stream() {
    let text = pattern(4 << 20);
    for way in WAYS {
        let (ours, theirs) = stream(way, Direction::Read);
        let came = thread::scope(|scope| {
            scope.spawn(|| File::from(theirs).write_all(&text).unwrap());
            all(stream_reader(way, ours, &control()))
        });
        assert!(came == text, "{way:?}");

        let (ours, theirs) = stream(way, Direction::Write);
        let came = thread::scope(|scope| {
            let reading = scope.spawn(|| all(File::from(theirs)));
            let mut writer = stream_writer(way, ours, &control());
            writer.write_all(&text).unwrap();
            drop(writer);
            reading.join().unwrap()
        });
        assert!(came == text, "{way:?}");
    }
}

#[test]
fn the_clients_flags_stay_as_they_were() {
    let (read_end, write_end) = pipe();
    let kept = [shared(&read_end), shared(&write_end)];
    let flags = |fds: &[OwnedFd]| -> Vec<OFlags> {
        fds.iter().map(|fd| fcntl_getfl(fd).unwrap()).collect()
    };
    let before = flags(&kept);
    let control = control();
    let mut writer = output(write_end, &control).unwrap().unwrap();
    let mut reader = reader(read_end, &control).unwrap();
    writer.write_all(b"text").unwrap();
    let mut came = [0; 4];
    reader.read_exact(&mut came).unwrap();
    assert_eq!(flags(&kept), before);
    assert!(!before.iter().any(|f| f.contains(OFlags::NONBLOCK)));
}

#[test]
fn a_stream_that_stands_still_times_out() {
    for way in WAYS {
        let (ours, _theirs) = stream(way, Direction::Read);
        let error = stream_reader(way, ours, &impatient())
            .read(&mut [0; 8])
            .unwrap_err();
        assert!(matches!(smime(error), Error::Timeout), "{way:?}");

        let (ours, _theirs) = stream(way, Direction::Write);
        let error = stream_writer(way, ours, &impatient())
            .write_all(&pattern(8 << 20))
            .unwrap_err();
        assert!(matches!(smime(error), Error::Timeout), "{way:?}");
    }
}

#[test]
fn cancel_wakes_a_stream_that_waits() {
    for (way, direction) in WAYS
        .into_iter()
        .flat_map(|w| [(w, Direction::Read), (w, Direction::Write)])
    {
        let (ours, _theirs) = stream(way, direction);
        let control = control();
        let (tell, told) = mpsc::channel();
        let ended = thread::scope(|scope| {
            let control = &control;
            let working = scope.spawn(move || {
                tell.send(rustix::thread::gettid()).unwrap();
                match direction {
                    Direction::Read => stream_reader(way, ours, control)
                        .read(&mut [0; 8])
                        .unwrap_err(),
                    Direction::Write => stream_writer(way, ours, control)
                        .write_all(&pattern(8 << 20))
                        .unwrap_err(),
                }
            });
            let thread_id = told.recv().unwrap().as_raw_nonzero();
            let stat = format!("/proc/self/task/{thread_id}/stat");
            let deadline = Deadline::after(PATIENCE);
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                assert!(!deadline.left().is_zero());
                thread::yield_now();
            }
            control.cancel();
            working.join().unwrap()
        });
        assert!(
            matches!(smime(ended), Error::Cancelled),
            "{way:?} {direction:?}"
        );
        assert!(control.is_cancelled());
    }
}

/// So much that a thread reads ahead, or writes behind.
const MUCH: usize = 3 << 19;

#[test]
fn cancel_wakes_a_job_whose_thread_waits_for_a_stream() {
    for way in [Way::Own, Way::Socket] {
        let (ours, theirs) = stream(way, Direction::Read);
        let control = control();
        let mut reader = reader(ours, &control).unwrap();
        let ended = thread::scope(|scope| {
            // held open, so that there is no end
            let mut theirs = File::from(shared(&theirs));
            scope.spawn(move || theirs.write_all(&pattern(MUCH)).unwrap());
            let mut came = vec![0; MUCH];
            reader.read_exact(&mut came).unwrap();
            assert!(came == pattern(MUCH));
            scope.spawn(|| control.cancel());
            reader.read(&mut [0; 8]).unwrap_err()
        });
        assert!(matches!(smime(ended), Error::Cancelled), "{way:?}");
    }
}

#[test]
fn a_job_that_ends_early_leaves_no_thread_waiting_for_its_streams() {
    for way in [Way::Own, Way::Socket] {
        let control = control();
        let (ours, theirs) = stream(way, Direction::Read);
        let (to, from) = stream(way, Direction::Write);
        thread::scope(|scope| {
            let mut theirs = File::from(shared(&theirs));
            scope.spawn(move || theirs.write_all(&pattern(MUCH)).unwrap());
            let mut from = File::from(shared(&from));
            // more than fits where nobody reads: the rest is never asked for
            scope.spawn(move || from.read_exact(&mut vec![0; 1 << 20]).unwrap());
            let begun = Deadline::after(PATIENCE);
            let mut reader = reader(ours, &control).unwrap();
            reader.read_exact(&mut vec![0; MUCH]).unwrap();
            drop(reader);
            let mut writer = output(to, &control).unwrap().unwrap();
            writer.write_all(&pattern(1 << 20)).unwrap();
            writer.write_all(&pattern(700 << 10)).unwrap();
            drop(writer);
            // the streams' own deadline is the same: it was not waited for
            assert!(begun.left() > PATIENCE / 2, "{way:?}");
            assert!(!control.is_cancelled());
        });
    }
}

#[test]
fn cancel_ends_work_on_files_too() {
    let control = control();
    let client = file(b"text", 0);
    let spool = tempfile::tempdir().unwrap();
    let mut input = input(shared(&client), &control, spool.path())
        .unwrap()
        .unwrap();
    let mut writer = output(shared(&file(b"", 0)), &control).unwrap().unwrap();
    control.cancel();
    let read = input.pass().and_then(|mut p| Ok(p.read(&mut [0; 8])?));
    assert!(matches!(read, Err(Error::Cancelled)));
    let written = writer.write(b"x").unwrap_err();
    assert!(matches!(smime(written), Error::Cancelled));
}

#[test]
fn a_reader_that_has_gone_is_named() {
    for way in WAYS {
        let (ours, theirs) = stream(way, Direction::Write);
        drop(theirs);
        let error = stream_writer(way, ours, &control())
            .write(b"x")
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{way:?}");
        assert!(error.to_string().contains("reader has gone away"));
    }
}

#[test]
fn a_small_file_is_read_up_to_its_limit() {
    let source = |length: usize| shared(&file(&pattern(length), 0));
    let files = Files::of_job(&control());
    assert_eq!(files.read(source(100), 100).unwrap(), pattern(100));
    let refused = files.read(source(101), 100).unwrap_err();
    assert_eq!(refused.name, ErrorName::InputTooLarge);
    let (read_end, write_end) = pipe();
    File::from(write_end).write_all(b"abc").unwrap();
    assert_eq!(files.read(read_end, 3).unwrap(), b"abc");
}

#[test]
fn a_file_that_is_read_is_not_written_by_the_same_job() {
    let client = file(b"message", 0);
    for reads_first in [true, false] {
        let control = control();
        let read = || reader(shared(&client), &control).map(|_| ());
        let write = || output(shared(&client), &control).map(|_| ());
        let (first, second) = match reads_first {
            true => (read(), write()),
            false => (write(), read()),
        };
        first.unwrap();
        let refused = second.unwrap_err();
        assert_eq!(refused.name, ErrorName::InvalidArgument);
        assert!(refused.message.contains("same file"), "{refused:?}");
    }
    let control = control();
    input(shared(&client), &control, Path::new("/nonexistent")).unwrap();
    assert!(output(shared(&client), &control).is_err());
    output(shared(&file(b"", 0)), &control).unwrap();
    // read twice: a message and its content
    reader(shared(&client), &control).unwrap();
}

#[test]
fn a_file_that_grows_or_shrinks_is_noticed() {
    let read = |mut from: Box<dyn Read + Send + '_>| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(smime).map(|_| bytes)
    };
    for length in [0u64, 3, 5] {
        let client = file(b"four", 0);
        let once = reader(shared(&client), &control()).unwrap();
        let mut passes = input(shared(&client), &control(), Path::new("/nonexistent"))
            .unwrap()
            .unwrap();
        client.set_len(length).unwrap();
        assert!(matches!(read(once), Err(Error::InputChanged)), "{length}");
        let pass = read(passes.pass().unwrap());
        assert!(matches!(pass, Err(Error::InputChanged)), "{length}");
    }
}

#[test]
fn all_files_of_a_call_have_one_deadline_and_end_with_its_job() {
    let (read_end, _silent) = pipe();
    let late = Files {
        control: Some(control()),
        deadline: Deadline::after(SHORT),
    };
    for _ in 0..3 {
        let refused = late.read(shared(&read_end), 100).unwrap_err();
        assert_eq!(refused.name, ErrorName::Timeout);
    }
    let control = control();
    let files = Files::of_job(&control);
    control.cancel();
    let refused = files.read(read_end, 100).unwrap_err();
    assert_eq!(refused.name, ErrorName::Cancelled);
}

#[test]
fn a_call_that_answers_at_once_reads_files_and_memfds_only() {
    let files = Files::at_once();
    let memfd = memfd_create("crl", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::pwrite(&memfd, b"abc", 0).unwrap();
    assert_eq!(files.read(memfd, 3).unwrap(), b"abc");
    assert_eq!(files.read(shared(&file(b"abc", 1)), 3).unwrap(), b"bc");
    let (read_end, _silent) = pipe();
    let (socket, _other) = UnixStream::pair().unwrap();
    for stream in [read_end, socket.into()] {
        let refused = files.read(stream, 3).unwrap_err();
        assert_eq!(refused.name, ErrorName::InvalidArgument);
    }
}

fn pin_of(bytes: &[u8]) -> Result<Vec<u8>, ErrorName> {
    let (read_end, write_end) = pipe();
    File::from(write_end).write_all(bytes).unwrap();
    let by_pipe = read_pin(read_end);
    let memfd = memfd_create("pin", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::pwrite(&memfd, bytes, 0).unwrap();
    let by_memfd = read_pin(memfd);
    assert_eq!(by_pipe, by_memfd);
    by_pipe.map(|pin| pin.to_vec()).map_err(|f| f.name)
}

#[test]
fn a_pin_ends_at_the_first_line_feed_or_the_end() {
    assert_eq!(pin_of(b"123456").unwrap(), b"123456");
    assert_eq!(pin_of(b"123456\n").unwrap(), b"123456");
    assert_eq!(pin_of(b"12 34\r\nmore").unwrap(), b"12 34\r");
    assert_eq!(pin_of(&[b'1'; 255]).unwrap(), [b'1'; 255]);
    for wrong in [&[b'1'; 256][..], b"", b"\n1234", b"12\x0034"] {
        assert_eq!(pin_of(wrong), Err(ErrorName::PinInvalid));
    }
}

#[test]
fn what_follows_a_pin_stays_in_the_pipe() {
    let (read_end, write_end) = pipe();
    File::from(write_end).write_all(b"1234\n5678\n").unwrap();
    assert_eq!(read_pin(shared(&read_end)).unwrap().as_slice(), b"1234");
    assert_eq!(read_pin(read_end).unwrap().as_slice(), b"5678");
}

#[test]
fn a_pin_has_its_time_also_when_it_trickles() {
    let (read_end, write_end) = pipe();
    rustix::io::write(&write_end, b"12").unwrap();
    let late = pin::read(read_end, SHORT).unwrap_err();
    assert_eq!(late.name, ErrorName::Timeout);
    drop(write_end);
}

#[test]
fn a_pin_comes_by_pipe_or_memfd_only() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let name = |fd| read_pin(fd).unwrap_err().name;
    assert_eq!(name(socket.into()), ErrorName::InvalidArgument);
    assert_eq!(name(device("/dev/null")), ErrorName::InvalidArgument);
}
