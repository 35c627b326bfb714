use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, Row};

/// One logged-in connection. Dropping it closes it.
pub(super) struct Session {
    connection: Apart<Conn>,
}

/// Why there is no answer.
pub(super) enum Failure {
    Said { code: u16, message: String },
    Lost(String),
}

impl Session {
    pub(super) async fn open(options: Opts) -> Result<Self, Failure> {
        let mut opening = Apart(Some(Conn::new(options)));
        let Some(attempt) = opening.0.as_mut() else { return Err(gone()) };
        let opened = attempt.await.map_err(failure);
        // It is over, and holds no connection any more.
        opening.0.take();
        Ok(Self { connection: Apart(Some(opened?)) })
    }

    /// What the server calls this connection.
    pub(super) fn number(&self) -> u32 {
        self.connection.0.as_ref().map_or(0, Conn::id)
    }

    /// Sends a statement, and gives the first column of its rows.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        let connection = self.connection.0.as_mut().ok_or_else(gone)?;
        let rows: Vec<Row> = connection.query(sql).await.map_err(failure)?;
        Ok(rows.into_iter().filter_map(|row| row.get_opt(0)?.ok()).collect())
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        self.connection.0.as_mut().ok_or_else(gone)?.ping().await.map_err(failure)
    }
}

fn gone() -> Failure {
    Failure::Lost("the connection is closed".to_owned())
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Server(said) => Failure::Said { code: said.code, message: said.message },
        other => Failure::Lost(other.to_string()),
    }
}

/// Holds something of the driver's that is dropped on a thread of its own. Inside a runtime the driver would start a task
/// that says farewell and waits for the answer, for ever where a server hangs: a socket and a task that nobody owns.
struct Apart<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Drop for Apart<T> {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else { return };
        // The end of a closed socket, so the wait is short. Without a thread the driver does it in its own way.
        if let Ok(thread) = std::thread::Builder::new().spawn(move || drop(held)) {
            let _ = thread.join();
        }
    }
}
