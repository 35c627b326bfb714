//! Foreign rotation functions: programs of the operator, started for each step, in a process of their own with an empty
//! environment but for what they need to reach this server and the one secret.
//!
//! Declared in the configuration file and nowhere else: who can write secrets must not be able to run programs. A Python
//! file with a `lambda_handler`, as written for AWS, runs as it is. Its key comes over standard input, so that no list of
//! processes and no other process's environment has it.

use super::remote::Remote;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_core::CoreError;
use strongroom_core::rotation::{Function, Method, StepOrder};
use strongroom_model::SecretString;
use tokio::task::spawn_blocking;

/// What the operator says of a function.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// What is started.
    pub program: Program,
    /// As whom; as this server's own user when `None`.
    pub user: Option<(u32, u32)>,
    /// How long one step may take.
    pub timeout: Duration,
    /// This server's address, as the function is to call it.
    pub endpoint: String,
    /// A certificate authority that it is to trust, in a file.
    pub ca_file: Option<PathBuf>,
    /// What it finds in its environment besides. Shown to who can see its process.
    pub environment: BTreeMap<String, String>,
}

/// What is started.
#[derive(Clone, Debug)]
pub enum Program {
    /// A Python file with a `lambda_handler`, with the interpreter that runs it.
    Python {
        /// The interpreter.
        interpreter: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// A program with its arguments. It reads one JSON object from standard input: `event` and `environment`.
    Command(Vec<String>),
    /// One behind a URL, which is sent the same object.
    Url(Remote),
}

/// The program that loads a Python file and calls its handler.
const RUNNER: &str = include_str!("runner.py");
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The most of its standard error that is read.
const MOST_SAID: u64 = 64 * 1024;
/// The most of its last line that is passed on.
const MOST_TOLD: usize = 400;

/// The method of a function, as plans call it.
pub fn function(spec: FunctionSpec) -> (String, Method) {
    (format!("function:{}", spec.name), Method::Foreign(Arc::new(Foreign { spec: Arc::new(spec) })))
}

struct Foreign {
    spec: Arc<FunctionSpec>,
}

/// Tells the thread that waits for a program that nobody waits for it any more.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Function for Foreign {
    async fn call(&self, order: &StepOrder<'_>) -> Result<(), CoreError> {
        let (spec, input) = (Arc::clone(&self.spec), self.spec.input(order)?);
        if let Program::Url(remote) = &spec.program {
            let (name, id) = (spec.called(), format!("{}.{}", order.token, order.step.word()));
            return remote.send(&name, &id, input.expose().as_bytes().to_vec()).await.map(|_| ());
        }
        let region = region(order).to_owned();
        let abandoned = Abandon(Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&abandoned.0);
        let done = spawn_blocking(move || spec.run(&input, &region, &stop)).await;
        done.map_err(|_| CoreError::Internal("a function's thread ended by itself"))?
    }
}

impl FunctionSpec {
    /// What the program reads: the runner with the call in it, or the call alone.
    fn input(&self, order: &StepOrder<'_>) -> Result<SecretString, CoreError> {
        let mut environment = self.environment.clone();
        let mut set = |name: &str, value: &str| drop(environment.insert(name.to_owned(), value.to_owned()));
        set("SECRETS_MANAGER_ENDPOINT", &self.endpoint);
        set("AWS_REGION", region(order));
        set("AWS_DEFAULT_REGION", region(order));
        set("AWS_EC2_METADATA_DISABLED", "true");
        set("AWS_ACCESS_KEY_ID", order.key.key.id.as_str());
        set("AWS_SECRET_ACCESS_KEY", order.key.secret.expose());
        order.key.session_token.iter().for_each(|token| set("AWS_SESSION_TOKEN", token.expose()));
        self.ca_file.iter().for_each(|file| set("AWS_CA_BUNDLE", &file.to_string_lossy()));
        let file = match &self.program {
            Program::Python { file, .. } => file.to_string_lossy().into_owned(),
            Program::Command(_) | Program::Url(_) => String::new(),
        };
        let event = json!({ "SecretId": order.secret, "ClientRequestToken": order.token, "Step": order.step.word() });
        let limit = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let call = json!({
            "event": event, "environment": environment, "file": file, "name": self.name, "milliseconds": limit,
        });
        let unwritable = |_| CoreError::Internal("a call of a function could not be written");
        let call = SecretString::new(call.to_string());
        Ok(SecretString::new(match &self.program {
            // A text in JSON is a text in Python too.
            Program::Python { .. } => {
                let literal = serde_json::to_string(&Value::String(call.expose().to_owned())).map_err(unwritable)?;
                format!("CALL = {literal}\n{RUNNER}")
            }
            Program::Command(_) | Program::Url(_) => format!("{}\n", call.expose()),
        }))
    }

    /// Starts the program and waits for its end.
    fn run(&self, input: &SecretString, region: &str, stop: &AtomicBool) -> Result<(), CoreError> {
        let failed = |what: &str, why: &dyn std::fmt::Display| CoreError::Outside {
            system: self.called(),
            why: format!("{what}: {why}"),
        };
        let mut child = self.command(region).spawn().map_err(|error| failed("it could not be started", &error))?;
        let (writer, reader) = (child.stdin.take(), child.stderr.take());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that does not read its input ends as it likes.
                if let Some(mut writer) = writer {
                    let _ = writer.write_all(input.expose().as_bytes());
                }
            });
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                if let Some(reader) = reader {
                    let mut reader = reader;
                    let _ = reader.by_ref().take(MOST_SAID).read_to_end(&mut said);
                    // What is more is read too, or the program would wait for a reader.
                    let _ = std::io::copy(&mut reader, &mut std::io::sink());
                }
                last_line(&said)
            });
            let ended = self.wait(&mut child, stop);
            let said = said.join().unwrap_or_default();
            match ended {
                Ok(true) => Ok(()),
                Ok(false) => Err(failed("it failed", &said)),
                Err(error) => Err(failed("it was ended", &error)),
            }
        })
    }

    /// As errors call it.
    fn called(&self) -> String {
        format!("the rotation function {}", self.name)
    }

    fn command(&self, region: &str) -> Command {
        let mut command = match &self.program {
            Program::Python { interpreter, .. } => {
                let mut command = Command::new(interpreter);
                // `-I` would hide the folders where the operator has put libraries; `-B` writes no files.
                command.args(["-B", "-"]);
                command
            }
            Program::Command(words) => {
                let mut command = Command::new(words.first().map_or("false", String::as_str));
                command.args(words.iter().skip(1));
                command
            }
            // Nothing is started for it.
            Program::Url(_) => Command::new("false"),
        };
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8").envs(&self.environment);
        command.env("SECRETS_MANAGER_ENDPOINT", &self.endpoint).env("AWS_REGION", region);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whether it ended well. It is killed when its time is over or nobody waits any more.
    fn wait(&self, child: &mut Child, stop: &AtomicBool) -> std::io::Result<bool> {
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            let late = begun.elapsed() >= self.timeout;
            if late || stop.load(Ordering::SeqCst) {
                child.kill()?;
                child.wait()?;
                let why = if late {
                    format!("it took longer than {} s", self.timeout.as_secs())
                } else {
                    "the server stops".to_owned()
                };
                return Err(std::io::Error::other(why));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn region<'a>(order: &'a StepOrder<'_>) -> &'a str {
    if order.region.is_empty() { "us-east-1" } else { order.region }
}

/// The last line that says something, cut short.
fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.chars().filter(|c| !c.is_control()).take(MOST_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(words: &[&str], timeout: u64) -> FunctionSpec {
        FunctionSpec {
            name: "mine".to_owned(),
            program: Program::Command(words.iter().map(|word| (*word).to_owned()).collect()),
            user: None,
            timeout: Duration::from_millis(timeout),
            endpoint: "http://127.0.0.1:1".to_owned(),
            ca_file: None,
            environment: BTreeMap::new(),
        }
    }

    fn run(spec: &FunctionSpec, stop: bool) -> Result<(), String> {
        let input = SecretString::new("{\"event\":{}}\n".to_owned());
        spec.run(&input, "us-east-1", &AtomicBool::new(stop)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_reads_the_call_and_finds_little_in_its_environment() {
        assert_eq!(
            run(&spec(&["/bin/sh", "-c", "read line; test \"$line\" = '{\"event\":{}}'"], 10_000), false),
            Ok(())
        );
        let told = run(
            &spec(&["/bin/sh", "-c", "env | grep -v '^_\\|^PWD' | sort | tr '\\n' ' ' >&2; exit 3"], 10_000),
            false,
        );
        let told = told.unwrap_err();
        assert!(told.contains("AWS_REGION=us-east-1 LANG=C.UTF-8 PATH=") && !told.contains("CARGO"), "{told}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_one_that_is_not_there_is_said() {
        let late = run(&spec(&["/bin/sleep", "60"], 50), false).unwrap_err();
        assert!(late.contains("longer than"), "{late}");
        let stopped = run(&spec(&["/bin/sleep", "60"], 60_000), true).unwrap_err();
        assert!(stopped.contains("the server stops"), "{stopped}");
        let missing = run(&spec(&["/nowhere/at/all"], 1_000), false).unwrap_err();
        assert!(missing.contains("could not be started"), "{missing}");
    }
}
