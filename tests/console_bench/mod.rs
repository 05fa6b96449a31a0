//! A console on a free port over a store in memory, and the smallest HTTP client that can say anything.

mod story;

use ralphton::agents::default_roster;
use ralphton::artifacts::Artifacts;
use ralphton::base::{Clock, Seed, SystemClock};
use ralphton::commands::{Commands, MissionDefaults, Rights};
use ralphton::console::{self, Console, ConsoleError};
use ralphton::cycle::preset::LoopPreset;
use ralphton::cycle::terms::Terms;
use ralphton::ledger::Budgets;
use ralphton::store::Store;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, or it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bench {
    pub address: SocketAddr,
    store: Store,
    stop: CancellationToken,
    server: JoinHandle<Result<(), ConsoleError>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn empty() -> Self {
        Self::serve("127.0.0.1:0", false).await
    }

    /// With a mission of three loops, the second of which trains.
    pub async fn seeded() -> Self {
        Self::serve("127.0.0.1:0", true).await
    }

    pub async fn serve(address: &str, seeded: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_memory().await.unwrap();
        let artifacts = Artifacts::local(folder.path()).unwrap();
        if seeded {
            story::tell(&store, &artifacts).await;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let defaults = MissionDefaults {
            preset: "quick".to_owned(),
            goal: "put every brick in the box".to_owned(),
            loops: 3,
            target_success: 0.9,
            seed: Seed(42),
            terms: Terms::default(),
        };
        let presets = BTreeMap::from([("quick".to_owned(), LoopPreset::default())]);
        let commands =
            Commands::new(store.clone(), artifacts.clone(), presets, defaults, Budgets::default(), Arc::clone(&clock));
        let titles = default_roster().into_iter().map(|agent| (agent.name, agent.title)).collect();
        let console = Console::new(store.clone(), artifacts, commands, clock, Rights::Operate, titles);
        let listener = console::bind(address.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(console.serve(listener, stop.clone()));
        Self { address, store, stop, server, _folder: folder }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub async fn command(&self, line: &str) -> Value {
        let body = serde_json::json!({ "line": line, "channel": "mission-control" }).to_string();
        let answer = self.send(Request::post("/api/v1/command", &body)).await;
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub async fn say(&self, text: &str) {
        story::say(&self.store, "watcher", "reports", text, Vec::new(), 0).await;
    }

    pub async fn send(&self, request: Request) -> Answer {
        let exchange = async {
            let mut connection = TcpStream::connect(self.address).await.unwrap();
            connection.write_all(request.text(self.address).as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            connection.read_to_end(&mut bytes).await.unwrap();
            Answer::parse(&bytes)
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }

    pub async fn stream(&self, path: &str) -> Stream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(Request::get(path).text(self.address).as_bytes()).await.unwrap();
        Stream { lines: BufReader::new(connection) }
    }

    /// Stops the server and waits until it let everybody go.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap().unwrap();
    }
}

/// One request, written out by hand so that every header can lie.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), host: None, headers: Vec::new(), body: String::new() }
    }

    pub fn post(path: &str, body: &str) -> Self {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Self { method: "POST", path: path.to_owned(), host: None, headers: vec![json], body: body.to_owned() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn content_type(mut self, value: &str) -> Self {
        self.headers.retain(|(name, _)| name != "content-type");
        self.header("content-type", value)
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    fn text(&self, address: SocketAddr) -> String {
        let host = self.host.clone().unwrap_or_else(|| address.to_string());
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text + &format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body)
    }
}

pub struct Answer {
    pub status: u16,
    headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&bytes[..end]);
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        let headers = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// An open stream of server-sent events.
pub struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    /// The data of the next event called `name`; others before it are passed over.
    pub async fn event(&mut self, name: &str) -> Value {
        let read = async {
            let mut wanted = false;
            loop {
                let mut line = String::new();
                assert!(self.lines.read_line(&mut line).await.unwrap() > 0, "the stream ended before {name}");
                let line = line.trim_end();
                if let Some(event) = line.strip_prefix("event: ") {
                    wanted = event == name;
                } else if let Some(data) = line.strip_prefix("data: ")
                    && wanted
                {
                    return serde_json::from_str(data).unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap()
    }
}
