//! A real server for tests. `cargo test` needs `redis-server`; `tests/run` installs it.

use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::Redis;
use super::Settings;
use super::TlsFiles;
use super::parse;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::crypto::Key;
use crate::session::store::row::Rows;

/// A server of the test's own, on a socket in a folder of its own.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { process: run_in(&folder), folder }
    }

    /// Starts it again, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        self.process = run_in(&self.folder);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A store with keys of its own on this server, in the time of these tests' sessions.
    pub(crate) fn store(&self, prefix: &str, key: u8) -> Redis {
        self.store_by(Clock::manual(Timestamp::from_millis(100_000)), prefix, key)
    }

    pub(crate) fn store_by(&self, clock: Clock, prefix: &str, key: u8) -> Redis {
        let settings = Settings {
            servers: vec![parse(&self.url()).unwrap()],
            sentinel: None,
            username: None,
            password_file: None,
            tls: TlsFiles::default(),
            prefix: prefix.to_owned(),
        };
        let rows = Rows::new(&Key::from_bytes([key; 32]).into());
        Redis::start(settings, rows, clock, &Handle::current())
    }

    /// Deletes a key whose name is no text.
    pub(crate) async fn delete(&self, key: &[u8]) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: i64 = redis::Cmd::del(key).query_async(&mut connection).await.unwrap();
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) async fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<Vec<u8>> = self.say(&["KEYS", "*"]).await;
        keys.sort();
        keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run_in(folder: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]);
    command.arg(folder.path()).arg("--unixsocket").arg(folder.path().join("socket"));
    let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut process = started.expect("this test needs `redis-server`: `apt-get install redis-server`");
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("ready to accept connections"));
    assert!(ready, "redis-server ended before it was ready");
    process
}
