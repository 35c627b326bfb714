use std::time::Duration;

/// How long to wait after failures in a row: a quarter of a second, doubled each time, up to fifteen seconds.
#[derive(Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// Waits, longer each time.
    pub(crate) async fn rest(&mut self) {
        let wait = Duration::from_millis(250).saturating_mul(1 << self.0.min(6)).min(Duration::from_secs(15));
        self.0 = self.0.saturating_add(1);
        tokio::time::sleep(wait).await;
    }
}
