use super::write::Writer;
use super::{MEDIA_TYPE, Meta, PORTION};
use crate::{CoreError, Grant, Open};
use std::sync::Arc;
use strongroom_barrier::{Barrier, Moment};
use tokio::sync::mpsc;

/// An answer too large for memory, as it is made. It was whole when [`Part::End`] has come; without that it was cut off.
pub struct Streamed {
    /// Its media type.
    pub media_type: &'static str,
    /// Its parts, in order.
    pub parts: mpsc::Receiver<Part>,
}

/// A part of an answer.
pub enum Part {
    /// Bytes.
    Bytes(Vec<u8>),
    /// There is no more.
    End,
}

/// Portions that are ready before anybody has taken the first.
const AHEAD: usize = 2;

impl Open {
    /// A snapshot of this moment. It is made at the pace at which it is taken; sealing the server cuts it off.
    pub async fn snapshot(&self, _grant: &Grant) -> Result<Streamed, CoreError> {
        let moment = self.barrier.moment().await?;
        let meta = Meta::new(&moment.seal, moment.generation, self.clock.now(), self.barrier.public_key());
        let writer = Writer::new(&meta)?;
        let (send, parts) = mpsc::channel(AHEAD);
        let barrier = Arc::clone(&self.barrier);
        self.tasks.start(|mut stop| async move {
            let made = tokio::select! {
                made = make(moment, writer, &barrier, &send) => made,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if let Err(error) = made {
                tracing::error!(%error, "a snapshot could not be finished; what was sent of it is of no use");
            }
        });
        Ok(Streamed { media_type: MEDIA_TYPE, parts })
    }
}

/// Makes the snapshot until it is complete or nobody takes it any more.
async fn make(
    mut moment: Moment,
    mut writer: Writer,
    barrier: &Barrier,
    send: &mpsc::Sender<Part>,
) -> Result<(), CoreError> {
    loop {
        // Room first: a portion is read when somebody wants it.
        let Ok(room) = send.reserve().await else { return Ok(()) };
        let rows = moment.view.portion(PORTION).map_err(strongroom_barrier::BarrierError::from)?;
        if rows.is_empty() {
            room.send(Part::Bytes(writer.finish(|text| barrier.sign(text))?));
            break;
        }
        room.send(Part::Bytes(writer.add(&rows)?));
    }
    // The read transaction is over before the last part is taken.
    drop(moment);
    let _ = send.send(Part::End).await;
    Ok(())
}
