//! Mail addresses of a field (RFC 5322 §3.4, RFC 6532), and nothing that only looks like one.
//!
//! Own and strict, because a verdict hangs on it: a display name, a comment or a second address in one mailbox must never pass
//! for the sender (design rule 10).

/// The addresses of an address list, groups opened. An entry that is no address comes back as its trimmed text.
pub(super) fn list(field: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut mailbox: Vec<Token> = Vec::new();
    let mut in_group = false;
    let mut angle = false;
    for token in tokens(field) {
        match token.special() {
            Some('<') => angle = true,
            Some('>') => angle = false,
            _ => {}
        }
        match token.special() {
            Some(':') if !angle && !in_group => {
                // the display name of a group
                mailbox.clear();
                in_group = true;
            }
            Some(';') if !angle && in_group => {
                all.extend(address(&mailbox));
                mailbox.clear();
                in_group = false;
            }
            Some(',') if !angle => {
                all.extend(address(&mailbox));
                mailbox.clear();
            }
            _ => mailbox.push(token),
        }
    }
    all.extend(address(&mailbox));
    all
}

/// Comments and white space are gone, but for whether some stood before the token.
struct Token {
    spaced: bool,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Special,
    Atom,
    Quoted,
    /// `[192.0.2.1]`
    Literal,
}

impl Token {
    fn special(&self) -> Option<char> {
        if self.kind == Kind::Special {
            self.text.chars().next()
        } else {
            None
        }
    }
}

fn tokens(field: &str) -> Vec<Token> {
    let mut all: Vec<Token> = Vec::new();
    let mut spaced = false;
    let mut chars = field.chars().peekable();
    while let Some(c) = chars.next() {
        let (kind, text) = match c {
            '(' => {
                let mut depth = 1usize;
                while depth > 0 {
                    match chars.next() {
                        None => break,
                        Some('(') => depth = depth.saturating_add(1),
                        Some(')') => depth = depth.saturating_sub(1),
                        Some('\\') => drop(chars.next()),
                        Some(_) => {}
                    }
                }
                spaced = true;
                continue;
            }
            _ if c.is_ascii_whitespace() => {
                spaced = true;
                continue;
            }
            '"' | '[' => {
                let end = if c == '"' { '"' } else { ']' };
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => text.extend(chars.next()),
                        _ if c == end => break,
                        _ => text.push(c),
                    }
                }
                (
                    if c == '"' {
                        Kind::Quoted
                    } else {
                        Kind::Literal
                    },
                    text,
                )
            }
            _ if is_atom(c) => {
                let mut text = String::from(c);
                while let Some(c) = chars.next_if(|c| is_atom(*c)) {
                    text.push(c);
                }
                (Kind::Atom, text)
            }
            _ => (Kind::Special, String::from(c)),
        };
        all.push(Token { spaced, text, kind });
        spaced = false;
    }
    all
}

/// atext (RFC 5322 §3.2.3) and everything beyond ASCII (RFC 6532 §3.2).
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

/// The one address of a mailbox; `None` for an empty one.
fn address(mailbox: &[Token]) -> Option<String> {
    if mailbox.is_empty() {
        return None;
    }
    Some(addr_spec(angle_content(mailbox)).unwrap_or_else(|| as_it_stands(mailbox)))
}

/// What stands in `<…>` behind the display name, without an obsolete route; everything where there are no angles. Where angles
/// are more than one pair, or not at the end, nothing.
fn angle_content(mailbox: &[Token]) -> &[Token] {
    let is = |token: &Token, special| token.special() == Some(special);
    let Some(open) = mailbox.iter().position(|t| is(t, '<')) else {
        return mailbox;
    };
    let (_, rest) = mailbox
        .split_at_checked(open.saturating_add(1))
        .unwrap_or((mailbox, &[]));
    let Some((last, inside)) = rest.split_last() else {
        return &[];
    };
    if !is(last, '>') || inside.iter().any(|t| is(t, '<') || is(t, '>')) {
        return &[];
    }
    match inside.iter().position(|t| is(t, ':')) {
        Some(colon) if inside.first().is_some_and(|t| is(t, '@')) => {
            inside.get(colon.saturating_add(1)..).unwrap_or(&[])
        }
        _ => inside,
    }
}

/// `local-part@domain`: words with dots between them on both sides, and no two without (RFC 5322 §3.4.1).
fn addr_spec(tokens: &[Token]) -> Option<String> {
    let at = tokens.iter().position(|t| t.special() == Some('@'))?;
    let (local, domain) = tokens.split_at_checked(at)?;
    let domain = domain.get(1..)?;
    let local = words(local, |t| match t.kind {
        Kind::Atom => Some(t.text.clone()),
        Kind::Quoted if is_dot_atom(&t.text) => Some(t.text.clone()),
        Kind::Quoted => Some(format!(
            "\"{}\"",
            t.text.replace('\\', "\\\\").replace('"', "\\\"")
        )),
        _ => None,
    })?;
    let domain = match domain {
        [literal] if literal.kind == Kind::Literal => format!("[{}]", literal.text),
        _ => words(domain, |t| (t.kind == Kind::Atom).then(|| t.text.clone()))?,
    };
    Some(format!("{local}@{domain}"))
}

fn words(tokens: &[Token], word: impl Fn(&Token) -> Option<String>) -> Option<String> {
    let mut joined = String::new();
    let mut words = tokens.split(|t| t.special() == Some('.'));
    let mut first = true;
    words.try_for_each(|part| {
        let [only] = part else { return None };
        if !first {
            joined.push('.');
        }
        first = false;
        joined.push_str(&word(only)?);
        Some(())
    })?;
    Some(joined)
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.')
        .all(|word| !word.is_empty() && word.chars().all(is_atom))
}

fn as_it_stands(mailbox: &[Token]) -> String {
    let mut text = String::new();
    for token in mailbox {
        if token.spaced && !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            Kind::Quoted => text.extend(["\"", token.text.as_str(), "\""]),
            Kind::Literal => text.extend(["[", token.text.as_str(), "]"]),
            _ => text.push_str(&token.text),
        }
    }
    text
}
