use super::super::seven_bit::SevenBit;
use super::STEPS;

fn holds(text: &[u8], step: usize) -> bool {
    let mut look = SevenBit::default();
    text.chunks(step.min(text.len().max(1)))
        .for_each(|chunk| look.update(chunk));
    look.holds()
}

#[test]
fn ascii_in_lines_of_998_passes() {
    let line = |count: usize, end: &str| ["x".repeat(count), end.to_owned()].concat().into_bytes();
    let cases = [
        (vec![], true),
        (b"text\r\n".to_vec(), true),
        ("gr\u{fc}n\r\n".into(), false),
        (b"a\0b\r\n".to_vec(), false),
        (line(998, "\r\n"), true),
        (line(1000, "\r\n"), false),
        (line(998, "\r\n").repeat(3), true),
        ([line(10, "\n"), line(1000, "")].concat(), false),
        (
            [line(10, "\n"), line(998, "\n"), line(998, "")].concat(),
            true,
        ),
        (line(76, "\r\n").repeat(5000), true),
        (
            [line(76, "\r\n").repeat(5000), line(1001, "")].concat(),
            false,
        ),
    ];
    for (number, (text, expected)) in cases.iter().enumerate() {
        for step in STEPS {
            assert_eq!(holds(text, step), *expected, "{number} by {step}");
        }
    }
}
