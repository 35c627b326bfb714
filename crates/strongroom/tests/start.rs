//! What a server says that cannot start: each cause once, with the place of the mistake and what to do about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::TcpListener;
use std::process::Command;
use tempfile::TempDir;

/// Starts a server that must not start, and gives what it says.
fn refused(args: &[&str]) -> String {
    let home = TempDir::new().unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .arg("server")
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert_eq!((ran.status.code(), out.as_str()), (Some(1), ""), "{err}");
    err.strip_prefix("Error: the server cannot start: ").unwrap().to_owned()
}

#[test]
fn a_mistake_in_the_configuration_is_named_once_with_the_line_of_its_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bad.hcl");
    std::fs::write(&file, "storage \"inmem\" {}\nlistener \"tcp\" {\n  tls_disable = true\n  address = \n}\n").unwrap();
    let shown = file.display();
    let expected = format!(
        "{shown}: line 4: a value belongs here, after `address =`: text in double quotes, a number, true, false, `[` or `{{`\n"
    );
    assert_eq!(refused(&["-config", &shown.to_string()]), expected);
}

#[test]
fn a_port_in_use_is_asked_about_and_the_system_quoted_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = refused(&["-dev", &format!("-dev-listen-address={address}")]);
    let expected = format!(
        "cannot listen on {address} (is another server running there?): Address already in use (os error 98)\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn what_is_no_address_is_not_taken_for_a_port_in_use() {
    let said = refused(&["-dev", "-dev-listen-address=bad"]);
    let expected = "cannot listen on bad (write it as 127.0.0.1:8200, with an address of this machine and a port): \
                    invalid socket address\n";
    assert_eq!(said, expected);
}
