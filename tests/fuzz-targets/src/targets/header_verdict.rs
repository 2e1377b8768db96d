//! Any header section before a message that Alice signed: good only where From says that it is from her, and shows nobody else.

use std::sync::LazyLock;

use privyseal_smime::verdict::Verdict;
use privyseal_smime::verify;

use crate::judge;
use crate::keys::ADDRESS;
use crate::pieces::Pieces;
use crate::seeds;

static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(seeds::clear_signed);

pub fn run(data: &[u8]) {
    let data = data.get(..128 << 10).unwrap_or(data);
    let line_end: &[u8] = match data.last() {
        None | Some(b'\n') => b"",
        Some(_) => b"\r\n",
    };
    let message = [data, line_end, &SIGNED].concat();
    let Ok(outcome) = verify(&mut Pieces::whole(&message), None, &[]) else {
        return;
    };
    let headers = &outcome.headers;
    for field in ["From", "Sender", "Reply-To"] {
        let addresses = headers.addresses(field);
        for beside in headers.addresses_beside(field) {
            assert!(!addresses.iter().any(|a| a.eq_ignore_ascii_case(&beside)));
        }
    }
    assert_eq!(outcome.from, headers.addresses("From"));
    if judge::verdict(&outcome).0 != Verdict::Good || headers.count("From") == 0 {
        return;
    }
    assert_eq!(headers.count("From"), 1);
    assert!(headers.addresses_beside("From").is_empty());
    assert!(!outcome.from.is_empty());
    for address in &outcome.from {
        assert!(address.eq_ignore_ascii_case(ADDRESS), "{address:?}");
    }
    // and by the simplest look at the field: her name and her domain stand in it
    let field = headers.get("From").unwrap().to_ascii_lowercase();
    for part in ["alice", "example"] {
        assert!(field.replace('\\', "").contains(part), "{field:?}");
    }
}
