//! What a server says that cannot start: each cause once, with the place of the mistake and what to do about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::TcpListener;
use std::process::Command;
use tempfile::TempDir;

/// Runs `server`, and gives exit code, standard output and standard error.
fn server(args: &[&str]) -> (Option<i32>, String, String) {
    let home = TempDir::new().unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .arg("server")
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
}

/// Starts a server that must not start, and gives what it says.
fn refused(args: &[&str]) -> String {
    let (code, out, err) = server(args);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
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

#[test]
fn a_configuration_is_checked_beside_a_server_that_holds_its_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = TempDir::new().unwrap();
    let (address, shown) = (taken.local_addr().unwrap(), folder.path().display());
    let data = folder.path().join("data.db");
    let file = folder.path().join("a.hcl");
    let write = |more: &str| {
        let storage = format!("storage \"sqlite\" {{ path = \"{}\" }}\n", data.display());
        let listener = format!("listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = 1\n}}\n");
        std::fs::write(&file, storage + &listener + more).unwrap();
        server(&["-check", "-config", &shown.to_string()])
    };
    assert_eq!(write(""), (Some(0), "The configuration is good.\n".to_owned(), String::new()));
    let (code, out, err) = write("colour = \"red\"\n");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("Warning: ") && out.contains("a.hcl: line 6:") && out.contains("colour"), "{out}");
    let (code, _, err) = write("log_level = \"loud\"\n");
    assert!(code == Some(1) && err.contains("a.hcl: line 6: `log_level`"), "{err}");
    assert!(!data.exists(), "nothing is opened");
}

#[test]
fn a_check_names_each_file_that_a_listener_cannot_use() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.hcl");
    std::fs::write(folder.path().join("notes.txt"), "no certificate").unwrap();
    let listener = |port: u16, certificate: &str| {
        let path = folder.path().join(certificate);
        format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{0}\"\n tls_key_file = \"{0}\"\n}}\n",
            path.display()
        )
    };
    std::fs::write(&file, format!("storage \"inmem\" {{}}\n{}{}", listener(1, "none.crt"), listener(2, "notes.txt")))
        .unwrap();
    let (code, out, err) = server(&["-check", "-config", &file.display().to_string()]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let lines: Vec<&str> = err.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("none.crt: cannot be read") && lines[1].contains("no certificate in PEM"),
        "{err}"
    );
}
