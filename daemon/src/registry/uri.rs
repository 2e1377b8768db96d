//! pkcs11: URIs (RFC 7512).

use privyseal_token::TokenInfo;

/// Names a token by all that CK_TOKEN_INFO says of it.
pub fn token_uri(token: &TokenInfo) -> String {
    format!(
        "pkcs11:model={};manufacturer={};serial={};token={}",
        encoded(&token.model),
        encoded(&token.manufacturer),
        encoded(&token.serial),
        encoded(&token.label)
    )
}

/// Everything but RFC 3986's unreserved characters is encoded, which §2.3 always allows.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_not_unreserved_is_percent_encoded_byte_by_byte() {
        assert_eq!(
            super::encoded("SoftHSM v2;é/=~"),
            "SoftHSM%20v2%3B%C3%A9%2F%3D~"
        );
    }
}
