//! Object paths, predictable on both sides.

use zbus::OwnedObjectPath;

use crate::{OBJECTS_PATH, ROOT_PATH};

fn path(text: String) -> OwnedObjectPath {
    // every caller passes only characters that an object path may have; anything else becomes the root object
    OwnedObjectPath::try_from(text)
        .unwrap_or_else(|_| zbus::ObjectPath::from_static_str_unchecked(ROOT_PATH).into())
}

fn element(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// `n` is the module's place in the daemon's list, from 0.
pub fn module_path(n: usize) -> OwnedObjectPath {
    path(format!("{OBJECTS_PATH}/module/{n}"))
}

/// `id` is the token's id (hex).
pub fn token_path(id: &str) -> OwnedObjectPath {
    path(format!("{OBJECTS_PATH}/token/{}", element(id)))
}

/// `sha256` is the certificate's fingerprint (hex).
pub fn certificate_path(sha256: &str) -> OwnedObjectPath {
    path(format!("{OBJECTS_PATH}/cert/{}", element(sha256)))
}

/// Where the job of the connection `sender` (`:1.42`) with the option `handle_token` is, so that a client can listen before it
/// calls (as with the desktop portals' requests).
pub fn job_path(sender: &str, handle_token: &str) -> OwnedObjectPath {
    let sender = element(sender.trim_start_matches(':'));
    path(format!(
        "{ROOT_PATH}/job/{sender}/{}",
        element(handle_token)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_where_its_client_expects_it() {
        assert_eq!(
            job_path(":1.42", "t0").as_str(),
            "/org/privyseal1/job/1_42/t0"
        );
        assert_eq!(
            token_path("00ff").as_str(),
            "/org/privyseal1/objects/token/00ff"
        );
    }
}
