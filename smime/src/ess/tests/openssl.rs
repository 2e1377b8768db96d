//! openssl asks and we answer, we ask and openssl answers; each checks the other's receipt.

use super::support::*;
use super::*;
use crate::signed::SignForm;
use crate::signed::testkit::{openssl, try_openssl};

#[test]
fn openssl_takes_our_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sender().write(folder);
    let ca = folder.join("recipient.pem");
    std::fs::write(&ca, recipient().certificate.to_pem()).unwrap();
    for more in [&["-nodetach"][..], &[]] {
        let mut args = vec![
            "cms",
            "-sign",
            "-signer",
            "cert.pem",
            "-inkey",
            "key.pem",
            "-receipt_request_all",
            "-receipt_request_to",
            "alice@example.org",
            "-out",
            "asking.eml",
        ];
        args.extend(more);
        openssl(folder, &args, MAIL);
        let original = judged(&std::fs::read(folder.join("asking.eml")).unwrap());
        let wanted = requested(&original, &recipient().certificate).unwrap();
        assert_eq!(wanted.send_to, ["alice@example.org"]);
        std::fs::write(folder.join("receipt.eml"), receipt(&wanted)).unwrap();
        let check = [
            "cms",
            "-verify_receipt",
            "receipt.eml",
            "-in",
            "asking.eml",
            "-CAfile",
            "recipient.pem",
        ];
        openssl(folder, &check, &[]);

        // another message of the same sender
        args.retain(|arg| *arg != "asking.eml");
        args.push("other.eml");
        let at = args.iter().position(|arg| *arg == "-out").unwrap();
        args.remove(at);
        args.insert(args.len() - 1, "-out");
        openssl(folder, &args, MAIL);
        let other = check.map(|arg| {
            if arg == "asking.eml" {
                "other.eml"
            } else {
                arg
            }
        });
        assert!(try_openssl(folder, &other, &[]).is_err());
    }
}

#[test]
fn we_take_the_receipts_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    recipient().write(folder);
    for form in [SignForm::Clear, SignForm::Opaque] {
        let asking = message(&asking(form));
        std::fs::write(folder.join("asking.eml"), &asking).unwrap();
        let args = [
            "cms",
            "-sign_receipt",
            "-in",
            "asking.eml",
            "-signer",
            "cert.pem",
            "-inkey",
            "key.pem",
        ];
        let receipt = openssl(folder, &args, &[]);
        assert_eq!(
            compare(&receipt, &judged(&asking)),
            ReceiptMatch::default(),
            "{form:?}"
        );
    }
}
