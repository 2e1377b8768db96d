//! Compressing and decompressing: no certificate and no token has a part in it.

use std::io::{Read, Write};

use privyseal_proto::{Dict, Failure};
use privyseal_smime::{CompressOptions, Form, Input};

use super::results::Results;
use super::{Options, failure, sign};

pub fn compress(
    o: &Options,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let format = o.format.unwrap_or_default();
    let mut input = sign::canonical(input, o.canonicalize.unwrap_or(format == Form::Smime));
    let made = privyseal_smime::compress(&mut input, output, &CompressOptions { format })
        .map_err(failure::of_smime)?;
    Ok(results(made.algorithm, made.content_len))
}

pub fn decompress(message: &mut dyn Input, output: &mut dyn Write) -> Result<Dict, Failure> {
    let read = privyseal_smime::decompress(message, output).map_err(failure::of_smime)?;
    Ok(results(read.algorithm, read.content_len))
}

fn results(algorithm: &'static str, content_len: u64) -> Dict {
    Results::new()
        .with("algorithm", algorithm)
        .with("content_length", content_len)
        .into_dict()
}
