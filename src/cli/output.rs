//! What commands print: text for people, with tables and colour on a terminal, or JSON for programs.

mod json;
mod table;

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use json::Answer;
use prost_types::Timestamp;
pub(super) use table::{Cell, Table, record};

use super::{Failure, print};

/// How an answer is printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Printing {
    /// How to print the answer; `json` is one line, an object or an array, with the API's names and RFC 3339 times
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,

    /// Whether to colour text; `auto` does on a terminal unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Printing {
    /// Prints a message of the API, or the text that stands for it.
    pub(super) fn answer<M: Answer>(
        &self,
        message: &M,
        text: impl FnOnce(&M, Paint) -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Form::Text => print(&zeroize::Zeroizing::new(text(message, self.paint()))),
            Form::Json => print(&json::line(message)?),
        }
    }

    /// Prints a value that is no message of the API.
    pub(super) fn value(
        &self,
        value: &serde_json::Value,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Form::Text => print(&text(self.paint())),
            Form::Json => print(&format!("{value}\n")),
        }
    }

    fn paint(&self) -> Paint {
        Paint(match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
                variable("NO_COLOR").is_none()
                    && variable("TERM").is_none_or(|term| term != "dumb")
                    && std::io::stdout().is_terminal()
            }
        })
    }
}

/// Colours, or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

/// What a word says, as far as its colour tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Doubtful,
    Bad,
}

impl Paint {
    /// The text in the colour of its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
        };
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The text with whatever could move the cursor or hide something written out, because names and reasons are others'.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_control() => out.extend(c.escape_default()),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_default());
            }
            _ => out.push(c),
        }
    }
    out
}

/// An instant to the second, or what its absence means.
pub(super) fn instant(at: Option<&Timestamp>, absent: &str) -> String {
    match at {
        None => absent.to_owned(),
        Some(at) => Timestamp {
            seconds: at.seconds,
            nanos: 0,
        }
        .to_string(),
    }
}

/// The name of an enum's value without what all of them begin with: `REVOKED` of `TOKEN_STATE_REVOKED`.
pub(super) fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// A message as JSON, for text that shows whatever is in it.
pub(super) fn to_value<M: Answer>(message: &M) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(&json::line(message)?)
        .map_err(|error| Failure::new("cannot read what was written as JSON", error))
}
