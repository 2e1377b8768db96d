use std::io::{Read, Write};

use super::super::{CmsWriter, Form, MediaType, Opened, open};
use super::sample;

fn write(data: &[u8], step: usize, form: Form, media_type: MediaType, top: bool) -> Vec<u8> {
    let mut writer = CmsWriter::new(Vec::new(), form, media_type, top).unwrap();
    for chunk in data.chunks(step) {
        writer.write_all(chunk).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn names_are_those_of_the_command_line() {
    for (name, form) in [
        ("smime", Form::Smime),
        ("der", Form::Der),
        ("pem", Form::Pem),
    ] {
        assert_eq!(Form::from_name(name), Some(form));
        assert_eq!(form.name(), name);
    }
    assert_eq!(Form::from_name("DER "), None);
}

#[test]
fn what_is_written_is_recognised_and_reads_back() {
    // the shortest object that any CMS can be is some dozen bytes; its header says what a reader looks for
    for len in [130usize, 1000, 58_368, 58_369, 70_000, 200_000] {
        let mut object = vec![0x30, 0x83];
        object.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
        object.extend(sample(len));
        for form in [Form::Smime, Form::Der, Form::Pem] {
            for step in [1, 1000, 65_536, 58_368, usize::MAX] {
                let written = write(&object, step, form, MediaType::EnvelopedData, true);
                let Opened::Cms {
                    form: seen,
                    mut body,
                    ..
                } = open(Box::new(written.as_slice())).unwrap()
                else {
                    panic!("not recognised")
                };
                let mut read = Vec::new();
                body.read_to_end(&mut read).unwrap();
                assert!(read == object, "{form:?} {len} {step}");
                assert_eq!(seen, form);
            }
        }
    }
}

#[test]
fn an_entity_looks_as_in_rfc_8551() {
    let written = write(&[0; 58], 3, Form::Smime, MediaType::SignedData, true);
    let expected = "MIME-Version: 1.0\r\n\
        Content-Type: application/pkcs7-mime; smime-type=signed-data;\r\n name=\"smime.p7m\"\r\n\
        Content-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=\"smime.p7m\"\r\n\r\n";
    let body = format!("{}\r\nAA==\r\n", "A".repeat(76));
    assert_eq!(
        String::from_utf8(written).unwrap(),
        format!("{expected}{body}")
    );

    let below =
        String::from_utf8(write(b"x", 1, Form::Smime, MediaType::Signature, false)).unwrap();
    assert!(
        below.starts_with("Content-Type: application/pkcs7-signature;\r\n name=\"smime.p7s\"\r\n"),
        "{below}"
    );
    for (media_type, kind, name) in [
        (MediaType::EnvelopedData, "enveloped-data", "smime.p7m"),
        (
            MediaType::AuthEnvelopedData,
            "authEnveloped-data",
            "smime.p7m",
        ),
        (MediaType::CompressedData, "compressed-data", "smime.p7z"),
    ] {
        let written = String::from_utf8(write(b"x", 1, Form::Smime, media_type, true)).unwrap();
        assert!(
            written.contains(&format!("smime-type={kind};")),
            "{written}"
        );
        assert!(
            written.contains(&format!("filename=\"{name}\"")),
            "{written}"
        );
    }
}

#[test]
fn lines_have_their_columns_and_line_ends() {
    let data = sample(150_000);
    let smime = write(&data, 999, Form::Smime, MediaType::SignedData, false);
    let text = String::from_utf8(smime).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let lines: Vec<&str> = body.split_inclusive("\r\n").collect();
    let (last, whole) = lines.split_last().unwrap();
    assert!(
        whole.iter().all(|line| line.len() == 78) && last.len() <= 78 && last.ends_with("\r\n")
    );
    let pem = String::from_utf8(write(&data, 999, Form::Pem, MediaType::SignedData, true)).unwrap();
    assert!(!pem.contains('\r'));
    let lines: Vec<&str> = pem.lines().collect();
    assert_eq!(
        (lines[0], lines[lines.len() - 1]),
        ("-----BEGIN CMS-----", "-----END CMS-----")
    );
    assert!(
        lines[1..lines.len() - 2]
            .iter()
            .all(|line| line.len() == 64)
    );
}

#[test]
fn flush_passes_on_whole_lines_and_changes_nothing_in_the_end() {
    let data = sample(1000);
    for form in [Form::Smime, Form::Der, Form::Pem] {
        let mut writer = CmsWriter::new(Vec::new(), form, MediaType::SignedData, true).unwrap();
        for chunk in data.chunks(100) {
            writer.write_all(chunk).unwrap();
            writer.flush().unwrap();
        }
        assert!(writer.finish().unwrap() == write(&data, 1000, form, MediaType::SignedData, true));
    }
}
