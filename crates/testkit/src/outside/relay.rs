use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Stands between a client and a server on 127.0.0.1, forwards bytes, and fails once where a test wants it to.
pub struct Relay {
    port: u16,
    plan: Arc<Mutex<Option<Plan>>>,
    // Aborted when the relay is dropped.
    _running: JoinSet<()>,
}

#[derive(Clone)]
struct Plan {
    mark: Vec<u8>,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    LoseRequest,
    LoseReply,
    Silence,
}

impl Relay {
    /// Listens on a free port and forwards to that one.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let plan = Arc::new(Mutex::new(None));
        let mut running = JoinSet::new();
        running.spawn(accept(listener, target, Arc::clone(&plan)));
        Self { port, plan, _running: running }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next request that holds `mark` is not forwarded, and its connection is cut.
    pub fn lose_request(&self, mark: &str) {
        self.plan(mark, Fault::LoseRequest);
    }

    /// The next request that holds `mark` is forwarded; its connection is cut when the server has answered.
    pub fn lose_reply(&self, mark: &str) {
        self.plan(mark, Fault::LoseReply);
    }

    /// The next request that holds `mark` is forwarded, and nothing comes back; the connection stays open.
    pub fn silence(&self, mark: &str) {
        self.plan(mark, Fault::Silence);
    }

    /// Whether the fault that was asked for has happened.
    pub fn has_failed(&self) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn plan(&self, mark: &str, fault: Fault) {
        let plan = Plan { mark: mark.as_bytes().to_vec(), fault };
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }
}

async fn accept(listener: TcpListener, target: u16, plan: Arc<Mutex<Option<Plan>>>) {
    let mut open = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let plan = Arc::clone(&plan);
        open.spawn(async move {
            let _ = forward(client, target, &plan).await;
        });
        while open.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, target: u16, plan: &Mutex<Option<Plan>>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
    let mut fault = None;
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let asked = asked.get(..read?).unwrap_or_default();
                if asked.is_empty() {
                    return Ok(());
                }
                fault = fault.or_else(|| due(asked, plan));
                if fault == Some(Fault::LoseRequest) {
                    return Ok(());
                }
                server.write_all(asked).await?;
            }
            read = server.read(&mut answered) => {
                let answered = answered.get(..read?).unwrap_or_default();
                if answered.is_empty() || fault == Some(Fault::LoseReply) {
                    return Ok(());
                }
                if fault != Some(Fault::Silence) {
                    client.write_all(answered).await?;
                }
            }
        }
    }
}

/// The fault that is planned for a request with these bytes; it happens once.
fn due(asked: &[u8], plan: &Mutex<Option<Plan>>) -> Option<Fault> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |plan: &Plan| asked.windows(plan.mark.len()).any(|window| window == plan.mark);
    if plan.as_ref().is_some_and(fits) { plan.take().map(|plan| plan.fault) } else { None }
}
