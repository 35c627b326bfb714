//! `strongroom-proof FILE [KEY...]`: checks a proof offline. Ends with 0 when it holds, with 2 when it does not, with 1 when
//! it could not be read.

use std::io::Write;
use std::process::ExitCode;
use strongroom_proof::check;

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
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) => return (format!("{file} cannot be read: {error}"), 1),
    };
    match check(&text, &keys) {
        Err(error) => (error.to_string(), 2),
        Ok(checked) => {
            let advice =
                if keys.is_empty() { "; compare that key with the one you know, no key was given" } else { "" };
            let (count, size) = (checked.lines.len(), checked.size);
            let shown = format!(
                "{count} entries stand in the trail of {size} lines, signed at {} by {}{advice}",
                checked.time, checked.key
            );
            (shown, 0)
        }
    }
}
