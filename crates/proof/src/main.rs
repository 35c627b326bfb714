//! `strongroom-proof FILE [KEY...]`: checks a proof, or an archive of a trail, offline. Ends with 0 when it holds, with 2 when it does not, with 1 when
//! it could not be read.

use std::fs::File;
use std::io::{Read as _, Write};
use std::process::ExitCode;
use strongroom_proof::{Hash, check, check_archive, is_archive};

fn main() -> ExitCode {
    let (text, code) = run(&std::env::args().skip(1).collect::<Vec<_>>());
    let written = match code {
        0 => writeln!(std::io::stdout(), "{text}"),
        _ => writeln!(std::io::stderr(), "{text}"),
    };
    ExitCode::from(if written.is_err() { 1 } else { code })
}

fn run(arguments: &[String]) -> (String, u8) {
    let Some((file, keys)) = arguments.split_first() else {
        return ("usage: strongroom-proof FILE [KEY...], each key in 64 hexadecimal digits".to_owned(), 1);
    };
    let keys: Option<Vec<[u8; 32]>> = keys.iter().map(|key| hex::decode(key).ok()?.try_into().ok()).collect();
    let Some(keys) = keys else { return ("a key has 64 hexadecimal digits".to_owned(), 1) };
    match begins_as_archive(file) {
        Err(error) => (format!("{file} cannot be read: {error}"), 1),
        Ok(true) => archive(file, &keys),
        Ok(false) => proof(file, &keys),
    }
}

fn begins_as_archive(file: &str) -> std::io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(file)?.take(512).read_to_end(&mut beginning)?;
    Ok(is_archive(&beginning))
}

fn advice(keys: &[Hash]) -> &'static str {
    if keys.is_empty() { "; compare that key with the one you know, no key was given" } else { "" }
}

fn archive(file: &str, keys: &[Hash]) -> (String, u8) {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) => return (format!("{file} cannot be read: {error}"), 1),
    };
    match check_archive(opened, keys, &mut |_| {}) {
        Err(error) => (error.to_string(), 2),
        Ok(manifest) => {
            let (first, last) = (manifest.first(), manifest.next() - 1);
            let shown = format!(
                "lines {first} to {last} of the trail are whole, signed at {} by {}{}",
                manifest.time,
                manifest.key,
                advice(keys)
            );
            (shown, 0)
        }
    }
}

fn proof(file: &str, keys: &[Hash]) -> (String, u8) {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) => return (format!("{file} cannot be read: {error}"), 1),
    };
    match check(&text, keys) {
        Err(error) => (error.to_string(), 2),
        Ok(checked) => {
            let (count, size) = (checked.lines.len(), checked.size);
            let shown = format!(
                "{count} entries stand in the trail of {size} lines, signed at {} by {}{}",
                checked.time,
                checked.key,
                advice(keys)
            );
            (shown, 0)
        }
    }
}
