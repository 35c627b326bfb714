//! One reader's stream of server-sent events (HTML Living Standard, section 9.2). It is made at the pace at which it is
//! taken: who takes nothing costs a few portions of memory, falls behind, and is told so.

use super::feed::{LOOK_AGAIN, Portion, Reader, Rights};
use super::note::Event;
use crate::CoreError;
use crate::snapshot::Part;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long nothing is said before a comment shows that the stream lives (same section, "Authoring notes").
const QUIET: Duration = Duration::from_secs(10);

impl Reader {
    /// Sends until the reader leaves, may know nothing more, or the server closes its doors.
    pub(super) async fn run(mut self, send: mpsc::Sender<Part>, mut stop: watch::Receiver<bool>) {
        let mut closing = self.events.hub.closing();
        let why = tokio::select! {
            why = self.send_all(&send) => why,
            _ = stop.wait_for(|stop| *stop) => "the server is sealed",
            _ = closing.wait_for(|closed| *closed) => "the server closes its doors",
        };
        let last = format!("event: end\ndata: {}\n\n", serde_json::json!({ "reason": why, "after": self.place() }));
        // A reader that takes nothing just now is cut off instead; it asks again from where it was.
        if send.try_send(Part::Bytes(last.into_bytes())).is_ok() {
            let _ = send.try_send(Part::End);
        }
    }

    async fn send_all(&mut self, send: &mpsc::Sender<Part>) -> &'static str {
        let mut end = self.events.hub.subscribe();
        let mut look_again = interval(LOOK_AGAIN);
        look_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        let mut text = self.hello();
        loop {
            // Room first, rights second: what was made under old rights never waits for room.
            let room = tokio::select! {
                room = send.reserve() => match room {
                    Ok(room) => room,
                    Err(_) => return "the reader left",
                },
                _ = look_again.tick() => {
                    match self.rights().await {
                        Ok(Some(_)) => continue,
                        Ok(None) => return "the token is no longer good for this",
                        Err(error) => return broken(&error),
                    }
                }
            };
            end.borrow_and_update();
            match self.rights().await {
                Ok(Some(rights)) => self.write(&mut text, &rights),
                Ok(None) => return "the token is no longer good for this",
                Err(error) => return broken(&error),
            }
            if text.is_empty() && Instant::now() >= due {
                text.push_str(": still here\n\n");
            }
            if !text.is_empty() {
                room.send(Part::Bytes(std::mem::take(&mut text).into_bytes()));
                due = Instant::now() + QUIET;
            }
            if self.is_behind() {
                continue;
            }
            tokio::select! {
                _ = end.changed() => {}
                _ = look_again.tick() => {}
                () = sleep_until(due) => {}
                () = send.closed() => return "the reader left",
            }
        }
    }

    fn hello(&self) -> String {
        let place = if self.at.is_some() { self.place() } else { String::new() };
        format!("retry: 1000\nevent: hello\ndata: {}\n\n", serde_json::json!({ "after": place }))
    }

    fn write(&mut self, text: &mut String, rights: &Rights) {
        match self.portion(rights) {
            Portion::Events(events) => events.iter().for_each(|event| write_event(text, event)),
            Portion::Resync => {
                let place = self.place();
                let data = serde_json::json!({ "after": place });
                let _ = write!(text, "id: {place}\nevent: resync\ndata: {data}\n\n");
            }
        }
    }
}

fn write_event(text: &mut String, event: &Arc<Event>) {
    // JSON holds no raw line end, so one `data` line is enough.
    if let Ok(data) = serde_json::to_string(&**event) {
        let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind().word());
    }
}

fn broken(error: &CoreError) -> &'static str {
    tracing::warn!(%error, "a stream of events was broken off");
    "the server could not look up what the token may know; ask again"
}
