//! Sends many requests over a few connections, for commands that look at a whole tree. The number of connections is
//! fixed, so that a tree of a million secrets is no attack on the server; answers come back in the order of the
//! requests. Does not know what is asked.

use super::client::Client;
use super::error::CliError;
use super::flags::Settings;
use super::request::Request;
use super::secret::Secret;
use std::sync::atomic::{AtomicUsize, Ordering};
use strongroom_model::SecretString;

/// Connections in use at once.
const WIDTH: usize = 8;

/// Several clients with one token.
pub(crate) struct Pool {
    clients: Vec<Client>,
    token: Option<SecretString>,
}

/// An answer; `None` when nothing is there.
pub(crate) type Looked = Result<Option<Secret>, CliError>;

impl Pool {
    /// Nothing is connected yet.
    pub(crate) fn new(settings: &Settings, token: Option<SecretString>) -> Result<Self, CliError> {
        Ok(Self { clients: vec![Client::new(settings)?], token })
    }

    /// Sends one.
    pub(crate) fn look(&self, request: &Request) -> Looked {
        match self.clients.first() {
            Some(client) => client.look(request, self.token.as_ref()),
            None => Ok(None),
        }
    }

    /// Sends all; the answers are in the order of the requests.
    pub(crate) fn look_all(&mut self, settings: &Settings, requests: &[Request]) -> Result<Vec<Looked>, CliError> {
        while self.clients.len() < WIDTH.min(requests.len()) {
            self.clients.push(Client::new(settings)?);
        }
        let (next, token) = (AtomicUsize::new(0), self.token.as_ref());
        let work = |client: &mut Client| {
            let mut done = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(n) else { return done };
                done.push((n, client.look(request, token)));
            }
        };
        let mut all = std::thread::scope(|scope| {
            let workers: Vec<_> = self.clients.iter_mut().map(|client| scope.spawn(|| work(client))).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        all.sort_unstable_by_key(|(n, _)| *n);
        Ok(all.into_iter().map(|(_, looked)| looked).collect())
    }
}
