//! The three forms a CMS object is written in.

use std::io::{self, Write};

use super::base64::Base64Lines;

/// How a CMS object is written or was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// A MIME entity with base64 (RFC 8551 §3)
    #[default]
    Smime,
    /// The bare BER/DER
    Der,
    /// RFC 7468, label `CMS`
    Pem,
}

impl Form {
    /// `smime`, `der` or `pem`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Form::Smime, Form::Der, Form::Pem]
            .into_iter()
            .find(|form| form.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Form::Smime => "smime",
            Form::Der => "der",
            Form::Pem => "pem",
        }
    }
}

/// What the headers of a written MIME entity say (RFC 8551 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"`
    SignedData,
    /// `…; smime-type=signed-receipt` (RFC 2634 §2.5)
    SignedReceipt,
    /// `…; smime-type=enveloped-data`
    EnvelopedData,
    /// `…; smime-type=authEnveloped-data`
    AuthEnvelopedData,
    /// `…; smime-type=compressed-data; name="smime.p7z"`
    CompressedData,
    /// `application/pkcs7-signature; name="smime.p7s"`, Content-Disposition: attachment
    Signature,
}

impl MediaType {
    fn content_type(self) -> &'static str {
        match self {
            MediaType::SignedData => "application/pkcs7-mime; smime-type=signed-data",
            MediaType::SignedReceipt => "application/pkcs7-mime; smime-type=signed-receipt",
            MediaType::EnvelopedData => "application/pkcs7-mime; smime-type=enveloped-data",
            MediaType::AuthEnvelopedData => "application/pkcs7-mime; smime-type=authEnveloped-data",
            MediaType::CompressedData => "application/pkcs7-mime; smime-type=compressed-data",
            MediaType::Signature => "application/pkcs7-signature",
        }
    }

    /// RFC 8551 §3.2.1
    fn file_name(self) -> &'static str {
        match self {
            MediaType::SignedData
            | MediaType::SignedReceipt
            | MediaType::EnvelopedData
            | MediaType::AuthEnvelopedData => "smime.p7m",
            MediaType::CompressedData => "smime.p7z",
            MediaType::Signature => "smime.p7s",
        }
    }
}

/// Takes the binary CMS object and writes it in a form: for S/MIME with MIME-Version (not below a multipart), Content-Type,
/// Content-Transfer-Encoding and Content-Disposition, 76 columns of base64, CRLF; for PEM 64 columns, LF.
pub struct CmsWriter<W: Write> {
    out: W,
    encoding: Encoding,
}

enum Encoding {
    /// small writes gather here
    Binary(Vec<u8>),
    Base64 {
        lines: Base64Lines,
        footer: &'static str,
    },
}

/// Binary bytes gathered before they are written.
const GATHER: usize = 64 << 10;

impl<W: Write> CmsWriter<W> {
    /// Writes the headers. `top`: the entity is the message's outermost, so it gets a MIME-Version header.
    pub fn new(mut out: W, form: Form, media_type: MediaType, top: bool) -> io::Result<Self> {
        let encoding = match form {
            Form::Der => Encoding::Binary(Vec::with_capacity(GATHER)),
            Form::Pem => {
                out.write_all(b"-----BEGIN CMS-----\n")?;
                Encoding::Base64 {
                    lines: Base64Lines::pem(),
                    footer: "-----END CMS-----\n",
                }
            }
            Form::Smime => {
                let version = if top { "MIME-Version: 1.0\r\n" } else { "" };
                let (content_type, name) = (media_type.content_type(), media_type.file_name());
                out.write_all(
                    format!(
                        "{version}Content-Type: {content_type};\r\n name=\"{name}\"\r\n\
                         Content-Transfer-Encoding: base64\r\n\
                         Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
                    )
                    .as_bytes(),
                )?;
                Encoding::Base64 {
                    lines: Base64Lines::mime(),
                    footer: "",
                }
            }
        };
        Ok(CmsWriter { out, encoding })
    }

    /// Writes what is left (the last base64 line, the PEM end line) and gives the sink back.
    pub fn finish(mut self) -> io::Result<W> {
        match &mut self.encoding {
            Encoding::Binary(gathered) => self.out.write_all(gathered)?,
            Encoding::Base64 { lines, footer } => {
                lines.finish(&mut self.out)?;
                self.out.write_all(footer.as_bytes())?;
            }
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for CmsWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.encoding {
            Encoding::Base64 { lines, .. } => lines.push(data, &mut self.out)?,
            Encoding::Binary(gathered) => {
                if gathered.len().saturating_add(data.len()) > GATHER {
                    self.out.write_all(gathered)?;
                    gathered.clear();
                }
                if data.len() >= GATHER {
                    self.out.write_all(data)?;
                } else {
                    gathered.extend_from_slice(data);
                }
            }
        }
        Ok(data.len())
    }

    /// Passes on what can be: a line of base64 that is not full has to wait.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoding {
            Encoding::Binary(gathered) => {
                self.out.write_all(gathered)?;
                gathered.clear();
            }
            Encoding::Base64 { lines, .. } => lines.flush_lines(&mut self.out)?,
        }
        self.out.flush()
    }
}
