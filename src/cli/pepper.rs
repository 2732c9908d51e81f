//! `countersign pepper`: makes the keys under which secrets are hashed, and counts what hangs on each.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use zeroize::Zeroizing;

use super::{
    Failure,
    output::{Cell, Printing, Table},
    print,
};
use crate::{
    config::{self, PepperFlags, Sources},
    domain::{
        pepper::{self, PepperRing},
        time::Clock,
    },
    store,
};

/// Make peppers, the keys under which secrets are hashed, and see which are in use
#[derive(Debug, Args)]
pub(super) struct Pepper {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new pepper, as the configuration key `peppers` takes it: `id:` and 32 bytes in base64
    ///
    /// Keep it in a secret store: without it, no token stored under it works. To rotate, add the new one to every
    /// replica after the old one, then put it first, then remove the old one once no live token hangs on it: each moves to
    /// the first when it is used.
    New {
        /// Its id: 1 to 32 characters of `A-Z a-z 0-9 . _ -`, different from those in use [default: `p` and the date]
        #[arg(long, value_parser = pepper_id)]
        id: Option<String>,
    },
    /// Count the live tokens that hang on each pepper, to see whether one can be taken out of the ring
    ///
    /// Reads the database that `serve` would use, and changes nothing. ACTIVE is the pepper of new tokens; VERIFIES is in the
    /// ring as well; MISSING is not, so its tokens do not work and `serve` would not start. Exits with 1 if any is missing.
    Status {
        #[command(flatten)]
        flags: PepperFlags,

        #[command(flatten)]
        printing: Printing,
    },
}

impl Pepper {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let id = match self.command {
            Command::New { id } => id,
            Command::Status { flags, printing } => return status(flags, &printing).await,
        };
        let id = id.unwrap_or_else(|| format!("p{}", today()));
        let pepper = pepper::Pepper::random(&id)
            .map_err(|error| Failure::new("cannot make a pepper", error))?;
        print(&Zeroizing::new(format!("{}\n", *pepper.expose())))
    }
}

async fn status(flags: PepperFlags, printing: &Printing) -> Result<(), Failure> {
    let (ring, url) = config::load_peppers(&Sources::gather(flags.0)?)?;
    let counts = store::live_tokens_by_pepper(&url, &Clock::system())
        .await
        .map_err(Failure::of)?;
    let live = |id: &str| {
        let found = counts.iter().find(|(pepper, _)| pepper == id);
        found.map_or(0, |(_, live)| *live)
    };
    let in_ring = ring.ids().enumerate().map(|(place, id)| {
        let standing = if place == 0 { "ACTIVE" } else { "VERIFIES" };
        (id.to_owned(), standing, live(id))
    });
    let known: Vec<&str> = ring.ids().collect();
    let missing = counts
        .iter()
        .filter(|(id, _)| !known.contains(&id.as_str()))
        .map(|(id, live)| (id.clone(), "MISSING", *live));
    let rows: Vec<(String, &str, i64)> = in_ring.chain(missing).collect();
    let json = serde_json::Value::from_iter(rows.iter().map(|(id, standing, live)| {
        serde_json::json!({"pepper_id": id, "standing": standing, "live_tokens": live})
    }));
    printing.value(&json, |paint| {
        let mut table = Table::new(&["PEPPER", "STANDING", "LIVE TOKENS"]);
        for (id, standing, live) in &rows {
            table.row([
                Cell::from(id),
                Cell::from(standing),
                Cell::from(live.to_string()),
            ]);
        }
        table.text(paint)
    })?;
    match rows.iter().any(|(_, standing, _)| *standing == "MISSING") {
        true => Err(Failure::Answered),
        false => Ok(()),
    }
}

/// Takes an id if the configuration would: one that it refuses must not get into a secret store.
fn pepper_id(text: &str) -> Result<String, String> {
    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    match PepperRing::parse(&format!("{text}:{KEY}")) {
        Ok(ring) if ring.active().id() == text => Ok(text.to_owned()),
        _ => Err("must be 1 to 32 characters of `A-Z a-z 0-9 . _ -`".to_owned()),
    }
}

/// Today in UTC, as `20261124`.
fn today() -> String {
    let now = Timestamp::from(SystemTime::now()).to_string();
    now.chars().filter(char::is_ascii_digit).take(8).collect()
}
