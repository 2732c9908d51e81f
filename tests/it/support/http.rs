//! The metrics port, asked as plainly as a probe asks it, and what a scrape says.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The status and the body of an answer, which must come soon.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask(address, path).await;
    answer.expect("the metrics port answers")
}

/// The status only; 0 where nobody answers any more.
pub(crate) async fn status(address: SocketAddr, path: &str) -> u16 {
    ask(address, path).await.map_or(0, |(status, _)| status)
}

async fn ask(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    };
    let answer = timeout(Duration::from_secs(2), asked).await;
    answer.expect("the metrics port answers at once, or not at all")
}

/// Waits until a path answers with this status.
pub(crate) async fn wait_for_status(address: SocketAddr, path: &str, expected: u16) {
    let deadline = Instant::now() + PATIENCE;
    while status(address, path).await != expected {
        assert!(Instant::now() < deadline, "{path} is never {expected}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a scrape says.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// Each series, as it is written.
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a series and its value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self {
            series: series.collect(),
            text,
        }
    }

    /// The value of a series, if it is there.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// How many calls of this method ended with this code.
    pub(crate) fn calls(&self, method: &str, code: &str) -> Option<f64> {
        self.get(&format!(
            "rpc_server_call_duration_seconds_count{{code=\"{code}\",rpc_method=\"{method}\"}}"
        ))
    }

    /// The names of the families.
    pub(crate) fn families(&self) -> Vec<&str> {
        let types = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).collect()
    }

    /// By how much each series of a counter grew since an earlier scrape, those that did only. Those of the view are left
    /// out: it reads the feed whether or not anyone calls.
    pub(crate) fn growth(&self, before: &Self) -> BTreeMap<&str, f64> {
        let is_count = |name: &str| {
            let name = name.split('{').next().unwrap_or_default();
            let is_of_the_view = name.starts_with("countersign_view_");
            !is_of_the_view && (name.ends_with("_total") || name.ends_with("_count"))
        };
        self.series
            .iter()
            .map(|(name, value)| (name.as_str(), value - before.get(name).unwrap_or(0.0)))
            .filter(|(name, grown)| is_count(name) && *grown != 0.0)
            .collect()
    }
}

/// Scrapes until it says what it should.
pub(crate) async fn scrape_until(address: SocketAddr, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let scrape = Scrape::of(address).await;
        if is_so(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{}", scrape.text);
        sleep(Duration::from_millis(10)).await;
    }
}
