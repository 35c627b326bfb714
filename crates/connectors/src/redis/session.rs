use crate::network::{Host, Wire};
use std::pin::Pin;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use zeroize::Zeroizing;

/// Longest single answer; a list of ten thousand clients has about four.
const LONGEST: usize = 64 << 20;
const DEEPEST: usize = 8;

/// One connection that speaks RESP2 (Redis serialization protocol specification), a command and its answer at a time.
pub(super) struct Session {
    wire: BufReader<Wire>,
}

/// The connection ended, or what came is no answer.
pub(super) struct Lost(pub(super) String);

/// What the server said. Numbers and the members of lists are not looked at here.
pub(super) enum Reply {
    Text,
    Error(String),
    Bulk(Vec<u8>),
    Nothing,
    List,
}

impl Session {
    pub(super) async fn open(host: &Host) -> Result<Self, Lost> {
        let wire = host.dial_secure().await.map_err(|error| Lost(error.to_string()))?;
        Ok(Self { wire: BufReader::new(wire) })
    }

    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Reply, Lost> {
        let size = words.iter().map(|word| word.len() + 16).sum::<usize>() + 16;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words {
            // Each word goes with its length, so nothing in it can be taken for another.
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend_from_slice(word.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        self.wire.get_mut().write_all(&bytes).await.map_err(lost)?;
        self.wire.get_mut().flush().await.map_err(lost)?;
        self.reply(0).await
    }

    fn reply(&mut self, depth: usize) -> Pin<Box<dyn Future<Output = Result<Reply, Lost>> + Send + '_>> {
        Box::pin(async move {
            if depth > DEEPEST {
                return Err(Lost("its answer is nested too deeply".to_owned()));
            }
            let line = self.line().await?;
            let rest = line.get(1..).unwrap_or_default();
            match line.chars().next() {
                Some('+' | ':') => Ok(Reply::Text),
                Some('-') => Ok(Reply::Error(rest.to_owned())),
                Some('$' | '*') if rest == "-1" => Ok(Reply::Nothing),
                Some('$') => self.bulk(number(rest)?).await,
                Some('*') => {
                    for _ in 0..number(rest)? {
                        self.reply(depth + 1).await?;
                    }
                    Ok(Reply::List)
                }
                _ => Err(Lost("what answers there is no Redis".to_owned())),
            }
        })
    }

    async fn line(&mut self) -> Result<String, Lost> {
        let mut line = String::new();
        (&mut self.wire).take(65_536).read_line(&mut line).await.map_err(lost)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(Lost("the server closed it".to_owned())),
        }
    }

    async fn bulk(&mut self, length: usize) -> Result<Reply, Lost> {
        let mut bytes = Vec::new();
        (&mut self.wire).take(length as u64).read_to_end(&mut bytes).await.map_err(lost)?;
        let mut end = [0; 2];
        self.wire.read_exact(&mut end).await.map_err(lost)?;
        Ok(Reply::Bulk(bytes))
    }
}

fn lost(error: std::io::Error) -> Lost {
    Lost(error.to_string())
}

fn number(text: &str) -> Result<usize, Lost> {
    let number = text.parse().ok().filter(|number| *number <= LONGEST);
    number.ok_or_else(|| Lost("its answer has no sensible length".to_owned()))
}
