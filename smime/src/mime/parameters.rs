//! `value; name=value; …` of Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183), with comments, quoted strings and
//! the continuations and encodings of RFC 2231.

/// The value in lowercase and the parameters: (lowercase name, value). Those that RFC 2231 encodes stand before plain ones.
pub(super) fn parse(field: &str) -> (String, Vec<(String, String)>) {
    let mut scanner = Scanner(field);
    let mut value = String::new();
    loop {
        scanner.skip_space();
        match scanner.next() {
            None => break,
            Some(';') => break,
            Some(c) => value.push(c.to_ascii_lowercase()),
        }
    }
    let mut plain = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    while let Some((name, value)) = scanner.parameter() {
        match name.split_once('*') {
            None => plain.push((name, value)),
            Some((base, rest)) => sections.extend(Section::new(base, rest, value)),
        }
    }
    let mut all = joined(sections);
    all.append(&mut plain);
    (value, all)
}

struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    /// White space and comments, which nest.
    fn skip_space(&mut self) {
        let mut depth = 0usize;
        while let Some(c) = self.peek() {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' if depth > 0 => depth = depth.saturating_sub(1),
                '\\' if depth > 0 => {
                    self.next();
                }
                _ if depth > 0 || c.is_ascii_whitespace() => {}
                _ => return,
            }
            self.next();
        }
    }

    /// The next `name=value`; what is neither is passed over.
    fn parameter(&mut self) -> Option<(String, String)> {
        loop {
            self.skip_space();
            let name = self.until(|c| matches!(c, '=' | ';' | '(') || c.is_ascii_whitespace());
            self.skip_space();
            match self.next()? {
                '=' if !name.is_empty() => {
                    self.skip_space();
                    let value = self.value();
                    self.until(|c| c == ';');
                    self.next();
                    return Some((name.to_ascii_lowercase(), value));
                }
                ';' => {}
                _ => {
                    self.until(|c| c == ';');
                }
            }
        }
    }

    fn value(&mut self) -> String {
        if self.peek() != Some('"') {
            return self.until(|c| matches!(c, ';' | '(') || c.is_ascii_whitespace());
        }
        self.next();
        let mut value = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' => break,
                '\\' => value.extend(self.next()),
                _ => value.push(c),
            }
        }
        value
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> String {
        let end = self.0.find(stop).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        self.0 = rest;
        taken.to_owned()
    }
}

/// One `name*3*=value` (RFC 2231 §3, §4).
struct Section {
    name: String,
    number: u16,
    encoded: bool,
    value: String,
}

impl Section {
    fn new(name: &str, rest: &str, value: String) -> Option<Self> {
        let (number, encoded) = match rest.strip_suffix('*') {
            Some(number) => (number.parse().ok()?, true),
            None if rest.is_empty() => (0, true),
            None => (rest.parse().ok()?, false),
        };
        let name = name.to_owned();
        Some(Section {
            name,
            number,
            encoded,
            value,
        })
    }
}

/// Joins sections 0, 1, 2 … of each name; what comes after a gap is left out.
fn joined(mut sections: Vec<Section>) -> Vec<(String, String)> {
    sections.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number)));
    let mut all = Vec::new();
    for group in
        sections.chunk_by(|a, b| a.name == b.name && a.number.checked_add(1) == Some(b.number))
    {
        let Some(first) = group.first().filter(|first| first.number == 0) else {
            continue;
        };
        let mut charset = "";
        let mut bytes = Vec::new();
        for section in group {
            let mut value = section.value.as_str();
            if section.encoded && section.number == 0 {
                let mut parts = value.splitn(3, '\'');
                if let (Some(set), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next())
                {
                    charset = set;
                    value = text;
                }
            }
            if section.encoded {
                percent_decode(value, &mut bytes);
            } else {
                bytes.extend_from_slice(value.as_bytes());
            }
        }
        let value = if charset.eq_ignore_ascii_case("iso-8859-1") {
            bytes.iter().map(|b| char::from(*b)).collect()
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        };
        all.push((first.name.clone(), value));
    }
    all
}

fn percent_decode(value: &str, out: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or(&[]);
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
}
